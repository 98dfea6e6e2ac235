// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Reading a page table dump, in the very format of
 * arch/x86/mm/dump_pagetables.c, and what it means.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "memtype.h"
#include "tap.h"

static const char dump_text[] =
	"---[ User Space ]---\n"
	"0x0000000000000000-0x0000555555400000   87723988K                               pgd\n"
	"0x0000555555400000-0x0000555555401000           4K USR ro                     x  pte\n"
	"0x0000555555401000-0x0000555555402000           4K USR RW                     NX pte\n"
	"0x0000555555402000-0x0000555555600000        2040K                               pte\n"
	"0x00007ffff7a00000-0x00007ffff7c00000           2M USR RW PWT     PSE         NX pmd\n"
	"0x00007ffff7c00000-0x00007ffff7c01000           4K USR RW PWT                 NX pte\n"
	"0x00007ffff7c01000-0x00007ffff7c02000           4K USR RW     PCD             NX pte\n"
	"0x00007ffff7c02000-0x00007ffff7c03000           4K USR RW PWT PCD             NX pte\n"
	"0x00007ffff7c03000-0x00007ffff7c04000           4K USR RW PWT         PAT     NX pte\n"
	"0x00007ffff7c04000-0x00007ffff7c05000           4K USR RW PWT PCD     PAT     NX pte\n"
	"0x00007ffff7c05000-0x00007ffff7c06000           4K USR ro     PCD     PAT     NX pte\n"
	"0x00007ffff7c06000-0x00007ffff7c07000           4K USR RW             PAT     NX pte\n"
	"0x00007ffff7c07000-0x0000800000000000      137284K                               pte\n"
	"---[ Kernel Space ]---\n"
	"0xffff888000000000-0xffff888000200000           2M     RW         PSE     GLB NX pmd\n";

static int look_up(const char *text, uint64_t addr, enum peerbar_memtype *out)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int ret = pb_memtype_parse(file, addr, out);

	fclose(file);
	return ret;
}

static void found(uint64_t addr, enum peerbar_memtype want)
{
	enum peerbar_memtype type = (enum peerbar_memtype)99;

	is_int(look_up(dump_text, addr, &type), 0, "%#llx is found", (unsigned long long)addr);
	is_str(peerbar_memtype_name(type), peerbar_memtype_name(want), "%#llx is %s",
	       (unsigned long long)addr, peerbar_memtype_name(want));
}

static void missing(const char *text, uint64_t addr, int want, const char *name)
{
	enum peerbar_memtype type = (enum peerbar_memtype)99;

	is_int(look_up(text, addr, &type), want, "%s", name);
	is_int(type, 99, "%s: output untouched", name);
}

int main(void)
{
	found(0x555555400000, PEERBAR_MEMTYPE_WB);
	found(0x555555401fff, PEERBAR_MEMTYPE_WB);
	found(0x7ffff7a00000, PEERBAR_MEMTYPE_WC);
	found(0x7ffff7bfffff, PEERBAR_MEMTYPE_WC);
	found(0x7ffff7c00800, PEERBAR_MEMTYPE_WC);
	found(0x7ffff7c01000, PEERBAR_MEMTYPE_UC_MINUS);
	found(0x7ffff7c02000, PEERBAR_MEMTYPE_UC);
	found(0x7ffff7c03000, PEERBAR_MEMTYPE_WP);
	found(0x7ffff7c04000, PEERBAR_MEMTYPE_WT);
	found(0x7ffff7c05000, PEERBAR_MEMTYPE_UC_MINUS);
	found(0x7ffff7c06000, PEERBAR_MEMTYPE_WB);
	found(0xffff888000000000, PEERBAR_MEMTYPE_WB);
	missing(dump_text, 0x1000, -ENOENT, "not present");
	missing(dump_text, 0x555555402000, -ENOENT, "not touched");
	missing(dump_text, 0x7ffff7c07000, -ENOENT, "just behind a mapping");
	missing(dump_text, 0x600000000000, -ENOENT, "in no line");
	missing("nonsense\n", 0x1000, -EIO, "no dump at all");
	missing("\n", 0x1000, -EIO, "an empty line");
	is_str(peerbar_memtype_name(PEERBAR_MEMTYPE_UC_MINUS), "UC-", "the name of UC-");
	is_str(peerbar_memtype_name((enum peerbar_memtype) - 1), "unknown", "the name of nothing");
	return done_testing();
}
