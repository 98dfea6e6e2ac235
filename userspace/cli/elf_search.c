/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which files the dynamic linker would take, by the rules of ld.so(8). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_file.h"

/* A program with more has gone wrong, or is meant to keep us busy. */
#define MAX_LIBRARIES 1024

/* --- /etc/ld.so.cache: glibc's sysdeps/generic/dl-cache.h says what is in it. */

#define CACHE_FILE  "/etc/ld.so.cache"
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

struct cache_entry {
	int32_t flags;
	uint32_t name; /* offsets from the header */
	uint32_t path;
	uint32_t os;
	uint64_t hwcap;
};

struct cache_header {
	char magic[20];
	uint32_t nr_entries;
	uint32_t nr_strings;
	uint32_t unused[5];
	struct cache_entry entries[];
};

static const char *cache_string(const char *cache, size_t length, uint32_t offset)
{
	return offset < length && memchr(cache + offset, 0, length - offset) ? cache + offset
									     : NULL;
}

/* Of several, one that this machine can use: the same name may be there for others. */
static char *search_cache(const char *cache, size_t length, const char *name)
{
	const struct cache_header *header = (const void *)cache;
	size_t room = (length - sizeof(*header)) / sizeof(header->entries[0]);

	if (memcmp(header->magic, CACHE_MAGIC, sizeof(header->magic)))
		return NULL;
	for (size_t i = 0; i < header->nr_entries && i < room; i++) {
		const struct cache_entry *entry = &header->entries[i];
		const char *found = cache_string(cache, length, entry->name);
		const char *path = cache_string(cache, length, entry->path);
		struct elf_file file;

		if (!found || !path || strcmp(found, name) || entry->hwcap)
			continue;
		if (elf_open(path, &file))
			continue;
		elf_close(&file);
		return strdup(path);
	}
	return NULL;
}

char *elf_cache_lookup(const char *name)
{
	int fd = open(CACHE_FILE, O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *cache = NULL, *path = NULL;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &status) && (size_t)status.st_size > sizeof(struct cache_header))
		cache = malloc(status.st_size);
	if (cache && read(fd, cache, status.st_size) == status.st_size)
		path = search_cache(cache, status.st_size, name);
	free(cache);
	close(fd);
	return path;
}

/* --- folders */

/* "$ORIGIN/../lib" of a file. */
static char *expand(const char *folder, size_t length, const struct elf_file *of)
{
	static const char *const words[] = {"$ORIGIN", "${ORIGIN}"};
	const char *slash = strrchr(of->path, '/');
	int origin = slash ? (int)(slash - of->path) : 1;
	char *path = NULL;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t word = strlen(words[i]);

		if (length < word || strncmp(folder, words[i], word))
			continue;
		if (asprintf(&path, "%.*s%.*s", origin, slash ? of->path : ".",
			     (int)(length - word), folder + word) < 0)
			return NULL;
		return path;
	}
	return length ? strndup(folder, length) : strdup(".");
}

static bool usable(const char *folder, const char *name, struct elf_file *found)
{
	char *path;
	bool ok;

	if (!folder || asprintf(&path, "%s/%s", folder, name) < 0)
		return false;
	ok = !elf_open(path, found);
	free(path);
	return ok;
}

/* In a list with colons, seen from the file that has it. */
static bool search_list(const char *list, const struct elf_file *of, const char *name,
			struct elf_file *found)
{
	bool ok = false;

	while (list && !ok) {
		size_t length = strcspn(list, ":;");
		char *folder = expand(list, length, of);

		ok = usable(folder, name, found);
		free(folder);
		list = list[length] ? list + length + 1 : NULL;
	}
	return ok;
}

static bool search_system(const char *name, struct elf_file *found)
{
	static const char *const folders[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
	char *path = elf_cache_lookup(name);
	bool ok = path && !elf_open(path, found);

	free(path);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && !ok; i++)
		ok = usable(folders[i], name, found);
	return ok;
}

/* A library that somebody needs, and who. */
struct request {
	const char *name;
	const struct elf_file *by;
	const struct elf_file *program;
};

/* RPATH goes first, also the program's, unless who needs it has a RUNPATH. */
static bool search(const struct request *request, struct elf_file *found)
{
	const struct elf_file *by = request->by, *program = request->program;
	const char *environment = program->setid ? NULL : getenv("LD_LIBRARY_PATH");

	if (strchr(request->name, '/'))
		return !elf_open(request->name, found);
	if (!by->runpath) {
		if (search_list(by->rpath, by, request->name, found))
			return true;
		if (search_list(program->rpath, program, request->name, found))
			return true;
	}
	if (environment && *environment && search_list(environment, program, request->name, found))
		return true;
	if (search_list(by->runpath, by, request->name, found))
		return true;
	return search_system(request->name, found);
}

/* --- all of a program's libraries */

/* The dynamic linker takes what it has already for a name that it has. */
static bool has(const struct elf_closure *closure, const char *name)
{
	for (size_t i = 0; i < closure->nr_libraries; i++) {
		const struct elf_library *library = &closure->libraries[i];

		if (!strcmp(library->name, name) ||
		    (library->file.soname && !strcmp(library->file.soname, name)))
			return true;
	}
	return false;
}

static int add(struct elf_closure *closure, const struct request *request)
{
	size_t size = (closure->nr_libraries + 1) * sizeof(*closure->libraries);
	struct elf_library *libraries, *next;

	if (closure->nr_libraries >= MAX_LIBRARIES || has(closure, request->name))
		return 0;
	libraries = realloc(closure->libraries, size);
	if (!libraries)
		return -ENOMEM;
	closure->libraries = libraries;
	next = &libraries[closure->nr_libraries];
	memset(next, 0, sizeof(*next));
	next->name = strdup(request->name);
	if (!next->name)
		return -ENOMEM;
	closure->nr_libraries++;
	search(request, &next->file);
	return 0;
}

static int add_needed(struct elf_closure *closure, const struct elf_file *by,
		      const struct elf_file *program)
{
	int ret = 0;

	for (size_t i = 0; i < by->nr_needed && !ret; i++)
		ret = add(closure, &(struct request){by->needed[i], by, program});
	return ret;
}

/* What is to be loaded first of all. */
static int add_preloaded(struct elf_closure *closure, const struct elf_file *program)
{
	const char *value = program->setid ? NULL : getenv("LD_PRELOAD");
	char *list = value ? strdup(value) : NULL, *rest = list, *name;
	int ret = 0;

	while (!ret && (name = strsep(&rest, ": ")))
		if (*name)
			ret = add(closure, &(struct request){name, program, program});
	free(list);
	return ret;
}

int elf_closure_open(const struct elf_file *elf, struct elf_closure *closure)
{
	int ret;

	memset(closure, 0, sizeof(*closure));
	ret = add_preloaded(closure, elf);
	if (!ret)
		ret = add_needed(closure, elf, elf);
	for (size_t i = 0; i < closure->nr_libraries && !ret; i++) {
		/* The array moves as it grows; the file's own memory does not. */
		struct elf_file by = closure->libraries[i].file;

		if (by.path)
			ret = add_needed(closure, &by, elf);
	}
	if (ret)
		elf_closure_close(closure);
	return ret;
}

void elf_closure_close(struct elf_closure *closure)
{
	for (size_t i = 0; i < closure->nr_libraries; i++) {
		free(closure->libraries[i].name);
		elf_close(&closure->libraries[i].file);
	}
	free(closure->libraries);
	memset(closure, 0, sizeof(*closure));
}
