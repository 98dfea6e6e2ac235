// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <sys/mman.h>

#include "buffer.h"
#include "context.h"
#include "mapping.h"
#include "util.h"

struct peerbar_mapping {
	void *addr;
	size_t length;
};

uint64_t pb_huge_align(uint64_t length, uint64_t page)
{
	uint64_t entries = page / sizeof(uint64_t);
	uint64_t pmd = page * entries;
	uint64_t pud = pmd * entries;

	if (length >= pud)
		return pud;
	return length >= pmd ? pmd : page;
}

uint64_t pb_smaller_align(uint64_t align, uint64_t page)
{
	return PB_MAX(align / (page / sizeof(uint64_t)), page);
}

/*
 * An address at which @length bytes were free a moment ago. Nothing is kept
 * reserved: mapping over a reservation with MAP_FIXED may leave a hole when it
 * fails, and another thread's mapping in that hole would fall victim to the
 * cleaning up.
 */
static void *congruent_hint(size_t length, uint64_t congruence, uint64_t align)
{
	size_t area_length = length + align;
	void *area;

	if (area_length < length)
		return NULL;
	area = mmap(NULL, area_length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (area == MAP_FAILED)
		return NULL;
	munmap(area, area_length);
	return (void *)(uintptr_t)pb_congruent_up((uintptr_t)area, congruence, align);
}

static void *map_shared(void *hint, int fd, uint64_t offset, size_t length, int prot)
{
	void *map = mmap(hint, length, prot, MAP_SHARED, fd, (off_t)offset);

	return map == MAP_FAILED ? NULL : map;
}

/* @map is NULL where no address could be had; false where the mapping failed. */
static bool map_aligned(int fd, uint64_t offset, size_t length, int prot, uint64_t congruence,
			uint64_t align, void **map)
{
	/* Other threads may be faster at taking the address: a few times. */
	for (int tries = 0; tries < 4; tries++) {
		void *hint = congruent_hint(length, congruence, align);

		*map = NULL;
		if (!hint)
			break;
		*map = map_shared(hint, fd, offset, length, prot);
		if (!*map)
			return false;
		if (pb_is_aligned((uintptr_t)*map - congruence, align))
			return true;
		munmap(*map, length);
		*map = NULL;
	}
	return true;
}

void *pb_map_congruent(int fd, uint64_t offset, size_t length, int prot, uint64_t congruence,
		       uint64_t align)
{
	uint64_t page = pb_page_size();
	void *map;

	for (; align > page; align = pb_smaller_align(align, page)) {
		if (!map_aligned(fd, offset, length, prot, congruence, align, &map) || map)
			return map;
	}
	/* Small pages then; better than nothing. */
	return map_shared(NULL, fd, offset, length, prot);
}

static int map_failed(struct peerbar_buffer *buf, int err)
{
	struct peerbar *pb = buf->pb;

	switch (-err) {
	case EINVAL:
		/* The slice was checked: it is the exporter that has no mmap. */
		return pb_fail(
			pb, -EOPNOTSUPP,
			"cannot map the buffer: its exporter has no mmap (vfio-pci has with the peerbar series)");
	case ENODEV:
		return pb_fail(
			pb, err,
			"cannot map the buffer: it was revoked for good, or its device is gone");
	case EAGAIN:
		return pb_fail(
			pb, err,
			"cannot map the buffer: its device is in a reset, in low power, or does not decode memory");
	case ENOSPC:
		return pb_fail(pb, err,
			       "cannot map the buffer: it has as many mappings as it can have");
	case EBUSY:
		return pb_fail(
			pb, err,
			"cannot map the buffer: some of its pages are in use with another memory type");
	case EACCES:
		return pb_fail(pb, err, "cannot map the buffer for writing: it is read-only");
	default:
		return pb_fail(pb, err, "cannot map the buffer");
	}
}

static int check_map_options(const struct peerbar_map_options *options)
{
	if (!options)
		return 0;
	return pb_check_options(options, options->size,
				PB_OFFSETOFEND(struct peerbar_map_options, read_only),
				sizeof(*options));
}

int peerbar_map(struct peerbar_buffer *buf, uint64_t offset, size_t length,
		const struct peerbar_map_options *options, struct peerbar_mapping **out)
{
	struct peerbar_mapping *map;
	const char *why;
	int prot, ret;

	if (!buf || !out)
		return -EINVAL;
	ret = check_map_options(options);
	if (ret)
		return pb_fail(buf->pb, ret, "bad options for a mapping");
	ret = pb_buffer_check_slice(buf, offset, length, &why);
	if (ret)
		return pb_fail(buf->pb, ret, "cannot map this slice of the buffer: %s", why);
	prot = options && options->read_only ? PROT_READ : PROT_READ | PROT_WRITE;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->length = length;
	map->addr =
		pb_map_congruent(buf->fd, offset, length, prot, pb_buffer_congruence(buf, offset),
				 pb_huge_align(length, pb_page_size()));
	if (!map->addr) {
		ret = -errno;
		free(map);
		return map_failed(buf, ret);
	}
	*out = map;
	return 0;
}

void peerbar_unmap(struct peerbar_mapping *map)
{
	int saved = errno;

	if (!map)
		return;
	munmap(map->addr, map->length);
	free(map);
	errno = saved;
}

volatile void *peerbar_mapping_addr(const struct peerbar_mapping *map)
{
	return map->addr;
}

size_t peerbar_mapping_length(const struct peerbar_mapping *map)
{
	return map->length;
}
