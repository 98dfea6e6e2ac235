// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * iommufd of the made-up machine: address spaces and what is mapped in them.
 * Every argument is looked at as the kernel does, and what the library has no
 * reason to ask for counts as misuse.
 */
#include <errno.h>
#include <string.h>

#include "fakekernel.h"

#define MAX_IOAS 64
#define MAX_MAPS 8192

struct mapped {
	uint32_t ioas;
	uint64_t start, length;
};

/* Numbers are not used again, so that a stale one is noticed. */
static struct {
	uint32_t ids[MAX_IOAS];
	uint32_t last_id;
	struct mapped maps[MAX_MAPS];
} iommu = {.last_id = 100};

static const struct pb_iommu_iova_range ranges[] = {
	{0, 0xfedfffff},
	{0xfef00000, 0x7fffffffffull},
};

bool fake_ioas_exists(uint32_t ioas)
{
	for (unsigned int i = 0; ioas && i < MAX_IOAS; i++) {
		if (iommu.ids[i] == ioas)
			return true;
	}
	return false;
}

static int ioas_alloc(struct pb_iommu_ioas_alloc *alloc)
{
	if (!fake_sized(alloc->size, sizeof(*alloc), "IOMMU_IOAS_ALLOC"))
		return -1;
	if (alloc->flags)
		return fake_misuse(EOPNOTSUPP, "IOMMU_IOAS_ALLOC with flags");
	for (unsigned int i = 0; i < MAX_IOAS; i++) {
		if (iommu.ids[i])
			continue;
		alloc->out_ioas_id = iommu.ids[i] = ++iommu.last_id;
		fake.live_ioas++;
		return 0;
	}
	return fake_fail(ENOMEM);
}

static int destroy(const struct pb_iommu_destroy *cmd)
{
	if (!fake_sized(cmd->size, sizeof(*cmd), "IOMMU_DESTROY"))
		return -1;
	if (!fake_ioas_exists(cmd->id))
		return fake_misuse(ENOENT, "IOMMU_DESTROY of an address space that is not there");
	if (fake_ioas_attached(cmd->id))
		return fake_misuse(EBUSY, "IOMMU_DESTROY with a device attached");
	if (fake.destroy)
		return fake_fail(fake.destroy);
	for (unsigned int i = 0; i < MAX_IOAS; i++) {
		if (iommu.ids[i] == cmd->id)
			iommu.ids[i] = 0;
	}
	for (unsigned int i = 0; i < MAX_MAPS; i++) {
		if (iommu.maps[i].ioas != cmd->id)
			continue;
		iommu.maps[i].ioas = 0;
		fake.maps--;
	}
	fake.live_ioas--;
	return 0;
}

/* The usual two, or as many pieces of the first as a test asks for. */
static int iova_ranges(struct pb_iommu_ioas_iova_ranges *cmd)
{
	struct pb_iommu_iova_range *out = (void *)(uintptr_t)cmd->allowed_iovas;
	const uint32_t count = fake.nr_ranges ? fake.nr_ranges : 2;
	uint32_t room = cmd->num_iovas;

	if (!fake_sized(cmd->size, sizeof(*cmd), "IOMMU_IOAS_IOVA_RANGES"))
		return -1;
	if (!fake_ioas_exists(cmd->ioas_id))
		return fake_misuse(ENOENT, "IOMMU_IOAS_IOVA_RANGES of no address space");
	cmd->num_iovas = count;
	cmd->out_iova_alignment = fake.iova_alignment ? fake.iova_alignment : 4096;
	if (room < count)
		return fake_fail(EMSGSIZE);
	for (uint32_t i = 0; i < count; i++)
		out[i] = fake.nr_ranges ? (struct pb_iommu_iova_range){i * 0x100000ull,
								       i * 0x100000ull + 0x7ffff}
					: ranges[i];
	return 0;
}

static bool in_a_range(uint64_t iova, uint64_t last)
{
	if (fake.nr_ranges)
		return last / 0x100000 < fake.nr_ranges && last % 0x100000 < 0x80000 &&
		       iova / 0x100000 == last / 0x100000;
	for (unsigned int i = 0; i < 2; i++) {
		if (iova >= ranges[i].start && last <= ranges[i].last)
			return true;
	}
	return false;
}

static bool is_taken(uint32_t ioas, uint64_t iova, uint64_t last)
{
	for (unsigned int i = 0; i < MAX_MAPS; i++) {
		const struct mapped *map = &iommu.maps[i];

		if (map->ioas == ioas && iova <= map->start + map->length - 1 && map->start <= last)
			return true;
	}
	return false;
}

/* What is wrong with it, or NULL. The library has looked at all this before. */
static const char *map_misuse(const struct pb_iommu_ioas_map_file *cmd)
{
	uint64_t align = fake.iova_alignment ? fake.iova_alignment : 4096;
	uint64_t last = cmd->iova + cmd->length - 1, size;
	bool revoked;

	if (!fake_ioas_exists(cmd->ioas_id))
		return "IOMMU_IOAS_MAP_FILE into no address space";
	if (!fake_ioas_attached(cmd->ioas_id))
		return "IOMMU_IOAS_MAP_FILE into an address space without a device";
	if (!(cmd->flags & PB_IOMMU_MAP_FIXED_IOVA) || !(cmd->flags & PB_IOMMU_MAP_READABLE))
		return "IOMMU_IOAS_MAP_FILE with odd flags";
	if (!fake_dmabuf(cmd->fd, &revoked, &size))
		return "IOMMU_IOAS_MAP_FILE of no dma-buf";
	if (!cmd->length || cmd->length > size || cmd->start > size - cmd->length)
		return "IOMMU_IOAS_MAP_FILE beyond the buffer";
	if (cmd->iova % align || cmd->length % align)
		return "IOMMU_IOAS_MAP_FILE not aligned to the IOMMU's pages";
	if (last < cmd->iova || !in_a_range(cmd->iova, last))
		return "IOMMU_IOAS_MAP_FILE at a reserved address";
	return is_taken(cmd->ioas_id, cmd->iova, last) ? "IOMMU_IOAS_MAP_FILE over another" : NULL;
}

static int map_file(const struct pb_iommu_ioas_map_file *cmd)
{
	const char *wrong;
	bool revoked;
	uint64_t size;

	if (fake.no_map_file)
		return fake_fail(ENOTTY);
	if (!fake_sized(cmd->size, sizeof(*cmd), "IOMMU_IOAS_MAP_FILE"))
		return -1;
	wrong = map_misuse(cmd);
	if (wrong)
		return fake_misuse(EINVAL, wrong);
	if (fake.no_dmabuf_map)
		return fake_fail(EINVAL);
	if (fake.map_file_once) {
		int err = fake.map_file_once;

		fake.map_file_once = 0;
		return fake_fail(err);
	}
	if (fake.map_file)
		return fake_fail(fake.map_file);
	if (fake_dmabuf(cmd->fd, &revoked, &size) && revoked)
		return fake_fail(ENODEV);
	for (unsigned int i = 0; i < MAX_MAPS; i++) {
		if (iommu.maps[i].ioas)
			continue;
		iommu.maps[i] = (struct mapped){cmd->ioas_id, cmd->iova, cmd->length};
		fake.maps++;
		fake.last_map = *cmd;
		return 0;
	}
	return fake_fail(ENOMEM);
}

static int unmap(const struct pb_iommu_ioas_unmap *cmd)
{
	if (!fake_sized(cmd->size, sizeof(*cmd), "IOMMU_IOAS_UNMAP"))
		return -1;
	for (unsigned int i = 0; i < MAX_MAPS; i++) {
		struct mapped *map = &iommu.maps[i];

		if (map->ioas != cmd->ioas_id || map->start != cmd->iova ||
		    map->length != cmd->length)
			continue;
		map->ioas = 0;
		fake.maps--;
		return fake.unmap ? fake_fail(fake.unmap) : 0;
	}
	return fake_misuse(ENOENT, "IOMMU_IOAS_UNMAP of what was not mapped");
}

int fake_iommu_ioctl(unsigned long request, void *arg)
{
	switch (request) {
	case PB_IOMMU_IOAS_ALLOC:
		return ioas_alloc(arg);
	case PB_IOMMU_DESTROY:
		return destroy(arg);
	case PB_IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case PB_IOMMU_IOAS_MAP_FILE:
		return map_file(arg);
	case PB_IOMMU_IOAS_UNMAP:
		return unmap(arg);
	default:
		return fake_misuse(ENOTTY, "an iommufd ioctl that there is not");
	}
}
