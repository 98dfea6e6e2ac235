/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a program or shared library says about itself, and which libraries the
 * dynamic linker would give it. Only read, never run: it may be anybody's.
 */
#ifndef PEERBAR_CLI_ELF_FILE_H
#define PEERBAR_CLI_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_ID_MAX 128

struct elf_file {
	char *path;
	bool dynamic;		       /* has a section for the dynamic linker; else static */
	bool setid;		       /* runs with the rights of its owner or group */
	char build_id[ELF_ID_MAX + 1]; /* hexadecimal, empty: none */
	/* All names, of nr_strings bytes, the last of which is 0. */
	char *strings;
	size_t nr_strings;
	/* In strings; NULL where there is none. */
	const char *soname;
	const char *rpath;
	const char *runpath;
	const char **needed;
	size_t nr_needed;
};

/*
 * Returns 0 or a negative errno: -ENOEXEC for what is no ELF file, or one for
 * another kind of machine than this program.
 */
int elf_open(const char *path, struct elf_file *elf);
void elf_close(struct elf_file *elf);

/* Whether these bytes are anywhere in the file. */
bool elf_holds(const struct elf_file *elf, const char *text);

/* The libraries of a program, as ld.so(8) finds them, in its order. */
struct elf_library {
	char *name;
	struct elf_file file; /* path is NULL: not found */
};

struct elf_closure {
	struct elf_library *libraries;
	size_t nr_libraries;
};

/* elf stays the caller's. Returns 0 or -ENOMEM. */
int elf_closure_open(const struct elf_file *elf, struct elf_closure *closure);
void elf_closure_close(struct elf_closure *closure);

/* The path in the dynamic linker's cache; NULL when it is not there. The caller frees it. */
char *elf_cache_lookup(const char *name);

#endif
