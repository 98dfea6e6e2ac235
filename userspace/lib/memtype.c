// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What memory type the page tables really hold. Only the kernel can tell, and
 * only a debugging aid of it does: CONFIG_PTDUMP_DEBUGFS, whose file
 * `current_kernel` shows the page tables of whoever reads it.
 */
#include <inttypes.h>
#include <string.h>

#include "memtype.h"
#include "util.h"

#define PTDUMP "/sys/kernel/debug/page_tables/current_kernel"

enum {
	BIT_PWT = 1,
	BIT_PCD = 2,
	BIT_PAT = 4,
	BIT_PRESENT = 8,
};

/*
 * The PAT as Linux programs it, by PAT, PCD and PWT (pat_bp_init() in
 * arch/x86/mm/pat/memtype.c). Processors that cannot use the upper half have
 * the lower one twice, and then no entry has the PAT bit set.
 */
static const enum peerbar_memtype linux_pat[8] = {
	PEERBAR_MEMTYPE_WB, PEERBAR_MEMTYPE_WC, PEERBAR_MEMTYPE_UC_MINUS, PEERBAR_MEMTYPE_UC,
	PEERBAR_MEMTYPE_WB, PEERBAR_MEMTYPE_WP, PEERBAR_MEMTYPE_UC_MINUS, PEERBAR_MEMTYPE_WT,
};

static unsigned int parse_bits(const char *flags)
{
	static const struct {
		const char *word;
		unsigned int bit;
	} words[] = {
		{"RW", BIT_PRESENT}, {"ro", BIT_PRESENT}, {"PWT", BIT_PWT},
		{"PCD", BIT_PCD},    {"PAT", BIT_PAT},
	};
	unsigned int bits = 0;

	while (*flags) {
		size_t length = strcspn(flags, " \n");

		for (size_t i = 0; i < PB_ARRAY_SIZE(words); i++) {
			if (length == strlen(words[i].word) &&
			    !strncmp(flags, words[i].word, length))
				bits |= words[i].bit;
		}
		flags += length;
		flags += strspn(flags, " \n");
	}
	return bits;
}

/* "0xSTART-0xEND   SIZE flags... level", END not included. */
static bool parse_line(const char *line, uint64_t *start, uint64_t *end, unsigned int *bits)
{
	int used = 0;

	if (sscanf(line, "0x%" SCNx64 "-0x%" SCNx64 " %*s %n", start, end, &used) != 2 || !used)
		return false;
	*bits = parse_bits(line + used);
	return true;
}

int pb_memtype_parse(FILE *dump, uint64_t addr, enum peerbar_memtype *out)
{
	char *line = NULL;
	uint64_t start, end;
	bool any = false;
	unsigned int bits;
	size_t room = 0;
	int ret = 0;

	while (getline(&line, &room, dump) >= 0) {
		if (!parse_line(line, &start, &end, &bits))
			continue;
		any = true;
		if (addr < start || addr >= end)
			continue;
		if (!(bits & BIT_PRESENT))
			break;
		*out = linux_pat[bits & 7];
		goto out;
	}
	if (ferror(dump))
		ret = errno ? -errno : -EIO;
	else
		ret = any ? -ENOENT : -EIO;
out:
	free(line);
	return ret;
}

int peerbar_memtype_of(const volatile void *addr, enum peerbar_memtype *out)
{
	FILE *dump;
	int ret;

	if (!out)
		return -EINVAL;
	dump = fopen(PTDUMP, "re");
	if (!dump) {
		if (errno == ENOENT)
			return -EOPNOTSUPP;
		return errno == EACCES ? -EPERM : -errno;
	}
	ret = pb_memtype_parse(dump, (uintptr_t)addr, out);
	fclose(dump);
	return ret;
}

const char *peerbar_memtype_name(enum peerbar_memtype type)
{
	static const char *const names[] = {
		[PEERBAR_MEMTYPE_WB] = "WB",	    [PEERBAR_MEMTYPE_WC] = "WC",
		[PEERBAR_MEMTYPE_UC_MINUS] = "UC-", [PEERBAR_MEMTYPE_UC] = "UC",
		[PEERBAR_MEMTYPE_WT] = "WT",	    [PEERBAR_MEMTYPE_WP] = "WP",
	};

	if ((unsigned int)type >= PB_ARRAY_SIZE(names))
		return "unknown";
	return names[type];
}
