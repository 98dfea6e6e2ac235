/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_file.h"

/* Larger than any that a linker makes; whatever says more is broken. */
#define MAX_SEGMENTS 512
#define MAX_TABLE    (64u << 20)

struct reader {
	int fd;
	ElfW(Ehdr) header;
	ElfW(Phdr) * segments;
	struct elf_file *elf;
};

static void *read_at(int fd, uint64_t offset, uint64_t length)
{
	char *bytes;

	if (length > MAX_TABLE || offset > INT64_MAX - length)
		return NULL;
	bytes = malloc(length + 1);
	if (bytes && pread(fd, bytes, length, (off_t)offset) != (ssize_t)length) {
		free(bytes);
		return NULL;
	}
	/* Whatever is read as a string ends. */
	if (bytes)
		bytes[length] = '\0';
	return bytes;
}

static bool is_for_this_machine(const ElfW(Ehdr) * header)
{
	ElfW(Ehdr) own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0 && pread(fd, &own, sizeof(own), 0) == sizeof(own) &&
		    own.e_machine == header->e_machine &&
		    own.e_ident[EI_CLASS] == header->e_ident[EI_CLASS] &&
		    own.e_ident[EI_DATA] == header->e_ident[EI_DATA];

	if (fd >= 0)
		close(fd);
	return same;
}

static int read_header(struct reader *reader)
{
	ElfW(Ehdr) *header = &reader->header;

	if (pread(reader->fd, header, sizeof(*header), 0) != sizeof(*header) ||
	    memcmp(header->e_ident, ELFMAG, SELFMAG) || !is_for_this_machine(header) ||
	    header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > MAX_SEGMENTS)
		return -ENOEXEC;
	reader->segments =
		read_at(reader->fd, header->e_phoff, header->e_phnum * sizeof(ElfW(Phdr)));
	return reader->segments ? 0 : -ENOEXEC;
}

/* Where in the file a loaded address comes from; UINT64_MAX: from nowhere. */
static uint64_t offset_of(const struct reader *reader, uint64_t address)
{
	for (size_t i = 0; i < reader->header.e_phnum; i++) {
		const ElfW(Phdr) *segment = &reader->segments[i];

		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
		    address - segment->p_vaddr < segment->p_filesz)
			return segment->p_offset + (address - segment->p_vaddr);
	}
	return UINT64_MAX;
}

static uint64_t dynamic_value(const ElfW(Dyn) * entries, size_t count, int64_t tag)
{
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++)
		if (entries[i].d_tag == tag)
			return entries[i].d_un.d_val;
	return UINT64_MAX;
}

static const char *string_at(const struct elf_file *elf, uint64_t offset)
{
	return offset < elf->nr_strings ? elf->strings + offset : NULL;
}

static void read_needed(struct elf_file *elf, const ElfW(Dyn) * entries, size_t count)
{
	elf->needed = calloc(count ? count : 1, sizeof(*elf->needed));
	if (!elf->needed)
		return;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		const char *name = string_at(elf, entries[i].d_un.d_val);

		if (entries[i].d_tag == DT_NEEDED && name)
			elf->needed[elf->nr_needed++] = name;
	}
}

static void read_dynamic(struct reader *reader, const ElfW(Phdr) * segment)
{
	struct elf_file *elf = reader->elf;
	size_t count = segment->p_filesz / sizeof(ElfW(Dyn));
	ElfW(Dyn) * entries;
	uint64_t length;

	if (elf->strings)
		return;
	entries = read_at(reader->fd, segment->p_offset, count * sizeof(*entries));
	if (!entries)
		return;
	length = dynamic_value(entries, count, DT_STRSZ);
	elf->strings = read_at(reader->fd,
			       offset_of(reader, dynamic_value(entries, count, DT_STRTAB)), length);
	if (elf->strings) {
		elf->nr_strings = length + 1;
		elf->soname = string_at(elf, dynamic_value(entries, count, DT_SONAME));
		elf->runpath = string_at(elf, dynamic_value(entries, count, DT_RUNPATH));
		/* Where there are both, it does not count. */
		if (!elf->runpath)
			elf->rpath = string_at(elf, dynamic_value(entries, count, DT_RPATH));
		read_needed(elf, entries, count);
	}
	free(entries);
}

static size_t aligned(uint64_t length)
{
	return (length + 3) & ~(uint64_t)3;
}

static void read_notes(struct reader *reader, const ElfW(Phdr) * segment)
{
	char *notes = read_at(reader->fd, segment->p_offset, segment->p_filesz);
	size_t left = notes ? segment->p_filesz : 0, step;
	const char *at = notes;

	for (; left >= sizeof(ElfW(Nhdr)); left -= step, at += step) {
		const ElfW(Nhdr) *note = (const void *)at;
		const unsigned char *id = (const void *)(at + sizeof(*note) + 4);

		step = sizeof(*note) + aligned(note->n_namesz) + aligned(note->n_descsz);
		if (step > left)
			break;
		if (note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 ||
		    memcmp(note + 1, "GNU", 4))
			continue;
		for (size_t i = 0; i < note->n_descsz && 2 * i < ELF_ID_MAX; i++)
			snprintf(reader->elf->build_id + 2 * i, 3, "%02x", id[i]);
	}
	free(notes);
}

static void read_segments(struct reader *reader)
{
	for (size_t i = 0; i < reader->header.e_phnum; i++) {
		const ElfW(Phdr) *segment = &reader->segments[i];

		if (segment->p_type == PT_DYNAMIC)
			read_dynamic(reader, segment);
		else if (segment->p_type == PT_NOTE)
			read_notes(reader, segment);
		if (segment->p_type == PT_INTERP)
			reader->elf->dynamic = true;
	}
	/* A shared library has no interpreter, but needs others, or has a name. */
	if (reader->elf->nr_needed || reader->elf->soname)
		reader->elf->dynamic = true;
}

int elf_open(const char *path, struct elf_file *elf)
{
	struct reader reader = {.elf = elf};
	struct stat status;
	int ret;

	memset(elf, 0, sizeof(*elf));
	/* Not to be kept waiting by a FIFO. */
	reader.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (reader.fd < 0)
		return -errno;
	if (fstat(reader.fd, &status))
		ret = -errno;
	else
		ret = S_ISREG(status.st_mode) ? read_header(&reader) : -ENOEXEC;
	if (!ret) {
		elf->setid = status.st_mode & (S_ISUID | S_ISGID);
		elf->path = strdup(path);
		read_segments(&reader);
		if (!elf->path)
			ret = -ENOMEM;
	}
	free(reader.segments);
	close(reader.fd);
	if (ret)
		elf_close(elf);
	return ret;
}

void elf_close(struct elf_file *elf)
{
	free(elf->path);
	free(elf->strings);
	free(elf->needed);
	memset(elf, 0, sizeof(*elf));
}

bool elf_holds(const struct elf_file *elf, const char *text)
{
	size_t overlap = strlen(text) - 1, kept = 0;
	char block[65536];
	int fd = open(elf->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool found = false;
	ssize_t length;

	if (fd < 0)
		return false;
	while (!found && (length = read(fd, block + kept, sizeof(block) - kept)) > 0) {
		length += kept;
		found = memmem(block, length, text, overlap + 1);
		kept = (size_t)length < overlap ? (size_t)length : overlap;
		memmove(block, block + length - kept, kept);
	}
	close(fd);
	return found;
}
