// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Goes before the provider's registration with libibverbs: only with the
 * libibverbs that it was built for. The number in the names of providers does
 * not tell releases apart, and programs bring libraries of their own; a provider
 * of another release would crash, or be asked by nobody. One line says so.
 *
 *   BUILD_ID  the library's, in hexadecimal digits
 *   BUILT_FOR its path
 *   REGISTER  libibverbs' function, verbs_register_driver_NN
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void REGISTER(const void *ops);
void provider_register(const void *ops);

#define ID_MAX 80

/* A loaded libibverbs; others are those that are none of the provider's. */
struct library {
	const void *base; /* of the one that the provider is bound to */
	char id[ID_MAX + 1];
	char other[256];
};

static void read_id(const ElfW(Nhdr) * note, char *id)
{
	const unsigned char *bytes =
		(const unsigned char *)(note + 1) + ((note->n_namesz + 3) & ~3u);

	for (size_t i = 0; i < note->n_descsz && 2 * i < ID_MAX; i++)
		sprintf(id + 2 * i, "%02x", bytes[i]);
}

static void find_id(const struct dl_phdr_info *object, const ElfW(Phdr) * segment, char *id)
{
	const char *at = (const char *)(object->dlpi_addr + segment->p_vaddr);
	const char *end = at + segment->p_memsz;

	while (at + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;

		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    !memcmp(note + 1, "GNU", 4))
			read_id(note, id);
		at += sizeof(*note) + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
	}
}

static bool is_libibverbs(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "libibverbs.", 11) || !strncmp(name, "libibverbs-", 11);
}

static int look_at(struct dl_phdr_info *object, size_t size, void *data)
{
	struct library *library = data;
	bool ours = false;

	(void)size;
	for (int i = 0; i < object->dlpi_phnum; i++) {
		uintptr_t from = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
		uintptr_t at = (uintptr_t)library->base;

		ours |= object->dlpi_phdr[i].p_type == PT_LOAD && at >= from &&
			at < from + object->dlpi_phdr[i].p_memsz;
	}
	if (!ours && object->dlpi_name && is_libibverbs(object->dlpi_name))
		snprintf(library->other, sizeof(library->other), "%s", object->dlpi_name);
	for (int i = 0; ours && i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_NOTE)
			find_id(object, &object->dlpi_phdr[i], library->id);
	return 0;
}

/* The provider's own folder says what it was built for. */
static bool built_for(const char *prefix, const char *id)
{
	const char *slash = strrchr(prefix, '/');
	char path[4096], line[512], wanted[ID_MAX + 16];
	bool found = false;
	FILE *file;

	if (!slash)
		return false;
	snprintf(path, sizeof(path), "%.*s/provenance", (int)(slash - prefix), prefix);
	snprintf(wanted, sizeof(wanted), "build-id: %s\n", id);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = !strcmp(line, wanted);
	if (file)
		fclose(file);
	return found;
}

/* Whether another one of the list was built for this library. */
static bool another_fits(const char *id)
{
	const char *value = getenv("RDMAV_DRIVERS") ?: getenv("IBV_DRIVERS");
	char *list = value ? strdup(value) : NULL, *rest = list, *prefix;
	bool found = false;

	while (!found && (prefix = strsep(&rest, ":;")))
		found = built_for(prefix, id);
	free(list);
	return found;
}

void provider_register(const void *ops)
{
	struct library library = {.base = (const void *)REGISTER};
	Dl_info bound = {0};

	dl_iterate_phdr(look_at, &library);
	if (*library.other)
		fprintf(stderr,
			"peerbar: this program has a libibverbs of its own, %s, and the rxe provider "
			"in IBV_DRIVERS is for %s; run: build-provider --for %s\n",
			library.other, BUILT_FOR, library.other);
	if (!*BUILD_ID || !strcmp(library.id, BUILD_ID)) {
		REGISTER(ops);
		return;
	}
	if (another_fits(library.id))
		return;
	dladdr(library.base, &bound);
	fprintf(stderr,
		"peerbar: the rxe provider in IBV_DRIVERS does not fit this program's libibverbs, %s: it "
		"is for %s and is not used; run: build-provider --for %s\n",
		bound.dli_fname ?: "?", BUILT_FOR, bound.dli_fname ?: "LIB");
}
