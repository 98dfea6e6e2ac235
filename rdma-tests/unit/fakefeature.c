// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * VFIO_DEVICE_FEATURE of the made-up machine, and the dma-bufs that come of it:
 * memfds, whose inode numbers tell which is which.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakekernel.h"

#define MAX_DMABUFS 4096

/* Their numbers in the series, and others for a kernel that has others. */
#define REVOKE	(fake.other_numbers ? 0x0f : 0x8000)
#define MEMATTR (fake.other_numbers ? 0x10 : 0x8001)

struct dmabuf {
	ino_t inode; /* 0: none */
	char device[32];
	uint64_t length;
	uint32_t memattr;
	bool revoked; /* for good */
	bool orphan;  /* its device was closed */
};

/* The oldest make room for new ones. */
static struct dmabuf dmabufs[MAX_DMABUFS];
static unsigned int nr_dmabufs;

static struct dmabuf *find(int fd)
{
	char path[PATH_MAX];
	struct stat st;

	/* fstat() may be played as well, but not for a memfd. */
	if (!fake_path_of(fd, path) || strncmp(path, "/memfd:dmabuf", 13) || fstat(fd, &st))
		return NULL;
	for (unsigned int i = 0; i < MAX_DMABUFS; i++) {
		if (dmabufs[i].inode == st.st_ino)
			return &dmabufs[i];
	}
	return NULL;
}

bool fake_dmabuf(int fd, bool *revoked, uint64_t *length)
{
	const struct dmabuf *dmabuf = find(fd);

	if (!dmabuf)
		return false;
	*revoked = dmabuf->revoked || dmabuf->orphan;
	*length = dmabuf->length;
	return true;
}

void fake_dmabufs_orphaned(const char *device)
{
	for (unsigned int i = 0; i < MAX_DMABUFS; i++) {
		if (!strcmp(dmabufs[i].device, device))
			dmabufs[i].orphan = true;
	}
}

/* Export --------------------------------------------------------------------- */

static bool ranges_fit(const struct pb_vfio_dma_buf *request, uint64_t bar_length, uint64_t *length)
{
	*length = 0;
	for (uint32_t i = 0; i < request->nr_ranges; i++) {
		const struct pb_vfio_dma_range *range = &request->ranges[i];

		if (!range->length || range->offset % 4096 || range->length % 4096 ||
		    range->offset >= bar_length || range->length > bar_length - range->offset)
			return false;
		*length += range->length;
	}
	return request->nr_ranges;
}

static int new_dmabuf(const char *device, uint64_t length, uint32_t open_flags)
{
	struct dmabuf *dmabuf = &dmabufs[nr_dmabufs++ % MAX_DMABUFS];
	struct stat st;
	int fd;

	fd = memfd_create("dmabuf", open_flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)length) || fstat(fd, &st))
		abort();
	memset(dmabuf, 0, sizeof(*dmabuf));
	strcpy(dmabuf->device, device);
	dmabuf->inode = st.st_ino;
	dmabuf->length = length;
	return fd;
}

static int export_dmabuf(const struct fake_file *file, const struct vfio_device_feature *header)
{
	const struct pb_vfio_dma_buf *request = (const void *)header->data;
	uint64_t length;

	if (header->argsz !=
	    sizeof(*header) + sizeof(*request) + request->nr_ranges * sizeof(request->ranges[0]))
		return fake_misuse(EINVAL, "an export of the wrong size");
	if (request->flags & ~PB_DMA_BUF_SYNC_IMPORTERS ||
	    !ranges_fit(request, fake_bar_length(file->device, request->region_index), &length))
		return fake_misuse(EINVAL, "an export of what is not in the BAR");
	if (fake.export_dmabuf)
		return fake_fail(fake.export_dmabuf);
	if (request->flags && fake.no_export_flags)
		return fake_fail(fake.no_export_flags);
	fake.exports++;
	fake.last_export_flags = request->flags;
	fake.last_open_flags = request->open_flags;
	fake.last_bar = request->region_index;
	fake.last_ranges = request->nr_ranges;
	fake.last_range.offset = request->ranges[request->nr_ranges - 1].offset;
	fake.last_range.length = request->ranges[request->nr_ranges - 1].length;
	return new_dmabuf(file->device, length, request->open_flags);
}

/* Attribute and revocation ----------------------------------------------------- */

static struct dmabuf *find_own(const struct fake_file *file, int fd)
{
	struct dmabuf *dmabuf = find(fd);

	if (fcntl(fd, F_GETFD) < 0)
		fake_fail(EBADF);
	else if (!dmabuf)
		fake_fail(EINVAL);
	else if (dmabuf->orphan || strcmp(dmabuf->device, file->device))
		fake_fail(ENODEV);
	else
		return dmabuf;
	return NULL;
}

static int revoke_dmabuf(const struct fake_file *file, const struct pb_vfio_dma_buf_revoke *request)
{
	struct dmabuf *dmabuf = find_own(file, request->dmabuf_fd);

	if (!dmabuf)
		return -1;
	if (fake.revoke)
		return fake_fail(fake.revoke);
	if (dmabuf->revoked)
		return fake_fail(EBADFD);
	dmabuf->revoked = true;
	return 0;
}

static int check_attribute(uint32_t attribute)
{
	return attribute > PEERBAR_MEMATTR_WC ? fake_fail(ENOENT) : 0;
}

/* Which of the two is looked at first differs between editions. */
static int set_memattr(const struct fake_file *file, const struct pb_vfio_dma_buf_memattr *request)
{
	struct dmabuf *dmabuf;

	if (fake.attribute_first && check_attribute(request->memattr))
		return -1;
	dmabuf = find_own(file, request->dmabuf_fd);
	if (!dmabuf)
		return -1;
	if (fake.memattr)
		return fake_fail(fake.memattr);
	if (dmabuf->revoked)
		return fake_fail(EBADFD);
	if (check_attribute(request->memattr))
		return -1;
	dmabuf->memattr = request->memattr;
	fake.last_memattr = request->memattr;
	return 0;
}

/* -------------------------------------------------------------------------------- */

/* 1 to go on, 0 it was a question; as the kernel's vfio_check_feature(). */
static int check_feature(const struct vfio_device_feature *header, uint32_t op, size_t size)
{
	const uint32_t ops = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

	if (header->argsz < sizeof(*header))
		return fake_misuse(EINVAL, "VFIO_DEVICE_FEATURE of the wrong size");
	if (!(header->flags & ops))
		return fake_misuse(EINVAL, "VFIO_DEVICE_FEATURE without an operation");
	if (header->flags & ops & ~op)
		return fake_fail(EINVAL);
	if (header->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (header->argsz < sizeof(*header) + size)
		return fake_misuse(EINVAL, "VFIO_DEVICE_FEATURE of the wrong size");
	return 1;
}

/* Something that happens to have one of our numbers. */
static int foreign_feature(const struct vfio_device_feature *header)
{
	int ret = check_feature(header, VFIO_DEVICE_FEATURE_SET, 4);

	return ret == 1 ? fake_fail(EINVAL) : ret;
}

int fake_feature_ioctl(const struct fake_file *file, struct vfio_device_feature *header)
{
	const int lacks = fake.lacks ? fake.lacks : ENOTTY;
	const uint32_t number = header->flags & VFIO_DEVICE_FEATURE_MASK;
	int ret;

	if (fake.feature)
		return fake_fail(fake.feature);
	if (number == VFIO_DEVICE_FEATURE_DMA_BUF) {
		if (fake.no_export)
			return fake_fail(lacks);
		ret = check_feature(header, VFIO_DEVICE_FEATURE_GET,
				    sizeof(struct pb_vfio_dma_buf));
		return ret == 1 ? export_dmabuf(file, header) : ret;
	}
	if (fake.foreign && number >= 0x8000)
		return foreign_feature(header);
	if (fake.plain)
		return fake_fail(lacks);
	if (number == REVOKE) {
		ret = check_feature(header, VFIO_DEVICE_FEATURE_SET,
				    sizeof(struct pb_vfio_dma_buf_revoke));
		return ret == 1 ? revoke_dmabuf(file, (void *)header->data) : ret;
	}
	if (number == MEMATTR) {
		ret = check_feature(header, VFIO_DEVICE_FEATURE_SET,
				    sizeof(struct pb_vfio_dma_buf_memattr));
		return ret == 1 ? set_memattr(file, (void *)header->data) : ret;
	}
	return fake_fail(lacks);
}
