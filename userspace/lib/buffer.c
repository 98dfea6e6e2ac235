// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/vfs.h>

#include "buffer.h"
#include "device.h"
#include "feature.h"
#include "uapi.h"
#include "util.h"

/* Export ------------------------------------------------------------------ */

struct export_request {
	unsigned int bar;
	const struct peerbar_range *ranges;
	size_t nr_ranges;
	uint32_t memattr;
	bool read_only;
	bool sync_importers;
};

static int check_export_options(const struct peerbar_export_options *options,
				struct export_request *request)
{
	int ret;

	if (!options)
		return 0;
	ret = pb_check_options(options, options->size,
			       PB_OFFSETOFEND(struct peerbar_export_options, sync_importers),
			       sizeof(*options));
	if (ret)
		return ret;
	request->memattr = options->memattr;
	request->read_only = options->read_only;
	request->sync_importers = options->sync_importers;
	return 0;
}

static int check_bar(struct peerbar_device *dev, unsigned int bar)
{
	if (bar >= PEERBAR_NUM_BARS)
		return pb_fail(dev->pb, -EINVAL, "a PCI device has no BAR %u, only 0 to %d", bar,
			       PEERBAR_NUM_BARS - 1);
	if (!dev->bars[bar].length)
		return pb_fail(dev->pb, -ENXIO, "%s has no BAR %u: see peerbar devices",
			       dev->address, bar);
	if (!dev->bars[bar].is_memory)
		return pb_fail(dev->pb, -ENXIO, "BAR %u of %s is made of I/O ports, not of memory",
			       bar, dev->address);
	return 0;
}

static int export_failed(struct peerbar_device *dev, unsigned int bar, int err)
{
	if (err == -ENOTTY || err == -EOPNOTSUPP)
		return pb_fail(
			dev->pb, -EOPNOTSUPP,
			"cannot export BAR %u of %s: its driver has no VFIO_DEVICE_FEATURE_DMA_BUF (vfio-pci of a kernel with CONFIG_VFIO_PCI_DMABUF has)",
			bar, dev->address);
	return pb_fail(dev->pb, err, "cannot export BAR %u of %s", bar, dev->address);
}

static int new_buffer(struct peerbar_device *dev, const struct export_request *request,
		      uint64_t length, struct peerbar_buffer **out)
{
	struct peerbar_buffer *buf;

	buf = calloc(1, sizeof(*buf) + request->nr_ranges * sizeof(buf->ranges[0]));
	if (!buf)
		return -ENOMEM;
	buf->pb = dev->pb;
	buf->dev = pb_device_get(dev);
	buf->fd = -1;
	buf->length = length;
	buf->read_only = request->read_only;
	buf->nr_ranges = request->nr_ranges;
	memcpy(buf->ranges, request->ranges, request->nr_ranges * sizeof(buf->ranges[0]));
	*out = buf;
	return 0;
}

static int export_buffer(struct peerbar_buffer *buf, const struct export_request *request)
{
	int open_flags = request->read_only ? O_RDONLY : O_RDWR;
	int ret;

	ret = pb_feature_export(buf->dev->fd, request->bar, buf->ranges, buf->nr_ranges,
				open_flags | O_CLOEXEC,
				request->sync_importers ? PB_DMA_BUF_SYNC_IMPORTERS : 0);
	/* The rest of what makes it invalid has been checked. */
	if (request->sync_importers && (ret == -EINVAL || ret == -EOPNOTSUPP))
		return pb_fail(
			buf->dev->pb, -EOPNOTSUPP,
			"cannot export BAR %u of %s: this kernel cannot insist on importers that let go at once (the peerbar series can)",
			request->bar, buf->dev->address);
	if (ret < 0)
		return export_failed(buf->dev, request->bar, ret);
	buf->fd = ret;
	/* Noncached is what every buffer starts with. */
	if (request->memattr == PEERBAR_MEMATTR_NC)
		return 0;
	return peerbar_buffer_set_memattr(buf, request->memattr);
}

int peerbar_buffer_export(struct peerbar_device *dev, unsigned int bar,
			  const struct peerbar_range *ranges, size_t nr_ranges,
			  const struct peerbar_export_options *options, struct peerbar_buffer **out)
{
	struct export_request request = {.bar = bar, .ranges = ranges, .nr_ranges = nr_ranges};
	struct peerbar_buffer *buf;
	const char *why;
	uint64_t length;
	int ret;

	if (!dev || !out)
		return -EINVAL;
	ret = check_export_options(options, &request);
	if (ret)
		return pb_fail(dev->pb, ret, "bad options for an export");
	ret = check_bar(dev, bar);
	if (ret)
		return ret;
	ret = pb_ranges_check(ranges, nr_ranges, dev->bars[bar].length, &length, &why);
	if (ret)
		return pb_fail(dev->pb, ret, "cannot export BAR %u of %s (%" PRIu64 " bytes): %s",
			       bar, dev->address, dev->bars[bar].length, why);
	ret = new_buffer(dev, &request, length, &buf);
	if (ret)
		return ret;
	ret = export_buffer(buf, &request);
	if (ret) {
		peerbar_buffer_close(buf);
		return ret;
	}
	*out = buf;
	return 0;
}

/* Import ------------------------------------------------------------------ */

static int check_dmabuf(struct peerbar *pb, int fd, int callers)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return pb_fail(pb, -errno, "cannot look at descriptor %d", callers);
	if ((unsigned long)fs.f_type != DMA_BUF_MAGIC)
		return pb_fail(pb, -EINVAL, "descriptor %d is no dma-buf", callers);
	return 0;
}

int peerbar_buffer_import(struct peerbar *pb, int dmabuf_fd, struct peerbar_buffer **out)
{
	PB_AUTO_CLOSE int fd = -1;
	struct peerbar_buffer *buf;
	off_t length;
	int flags;
	int ret;

	if (!pb || !out)
		return -EINVAL;
	fd = fcntl(dmabuf_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return pb_fail(pb, -errno, "cannot duplicate descriptor %d", dmabuf_fd);
	/* The duplicate stays what it is, whatever the caller's threads do. */
	ret = check_dmabuf(pb, fd, dmabuf_fd);
	if (ret)
		return ret;
	length = lseek(fd, 0, SEEK_END);
	flags = fcntl(fd, F_GETFL);
	if (length < 0 || flags < 0)
		return pb_fail(pb, -errno, "cannot ask dma-buf %d for its size", dmabuf_fd);
	buf = calloc(1, sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	buf->pb = pb;
	buf->fd = pb_take_fd(&fd);
	buf->length = (uint64_t)length;
	buf->read_only = (flags & O_ACCMODE) == O_RDONLY;
	*out = buf;
	return 0;
}

void peerbar_buffer_close(struct peerbar_buffer *buf)
{
	int saved = errno;

	if (!buf)
		return;
	pb_close_fd(buf->fd);
	if (buf->dev)
		pb_device_put(buf->dev);
	free(buf);
	errno = saved;
}

int peerbar_buffer_fd(const struct peerbar_buffer *buf)
{
	return buf->fd;
}

uint64_t peerbar_buffer_length(const struct peerbar_buffer *buf)
{
	return buf->length;
}

/* Attribute and revocation ------------------------------------------------- */

/* What the kernel means by its errno, for both features. */
static const char *feature_advice(int err)
{
	switch (-err) {
	case EBADF:
		return "the descriptor is not open";
	case EINVAL:
		return "the descriptor is no dma-buf";
	case ENODEV:
		return "the buffer is not of this device, or the device was closed";
	case EBADFD:
		return "the buffer has been revoked for good";
	case EBUSY:
		return "some of its pages are in use with another memory type";
	case ENOSPC:
		return "vfio-pci has divided its mapping of the device too often";
	case EINTR:
		return "a signal came while an importer was waited for; call it again";
	case ENOENT:
		return "the kernel knows no such attribute";
	case EOPNOTSUPP:
		return "this machine cannot do it";
	case ENOTTY:
		return "the kernel has no such feature, or not under a number that is known here (the peerbar series has it)";
	default:
		return "the kernel refused";
	}
}

/* ENOTTY is vfio's word for a feature it does not have. */
static int feature_failed(struct peerbar_device *dev, const char *what, int err)
{
	return pb_fail(dev->pb, err == -ENOTTY ? -EOPNOTSUPP : err, "cannot %s a buffer of %s: %s",
		       what, dev->address, feature_advice(err));
}

int peerbar_device_set_memattr_fd(struct peerbar_device *dev, int dmabuf_fd, uint32_t memattr)
{
	int ret;

	if (!dev)
		return -EINVAL;
	ret = pb_feature_memattr(dev->fd, &dev->features, dmabuf_fd, memattr);
	return ret ? feature_failed(dev, "set the memory attribute of", ret) : 0;
}

int peerbar_device_revoke_fd(struct peerbar_device *dev, int dmabuf_fd)
{
	int ret;

	if (!dev)
		return -EINVAL;
	ret = pb_feature_revoke(dev->fd, &dev->features, dmabuf_fd);
	return ret ? feature_failed(dev, "revoke", ret) : 0;
}

/* On success pb_device_leave() comes next. */
static int enter_exporter(struct peerbar_buffer *buf, const char *what)
{
	int ret;

	if (!buf)
		return -EINVAL;
	if (!buf->dev)
		return pb_fail(buf->pb, -EOPNOTSUPP,
			       "cannot %s an imported buffer: only its exporter can", what);
	ret = pb_device_enter(buf->dev);
	return ret ? feature_failed(buf->dev, what, ret) : 0;
}

/*
 * A kernel without the feature, and a device without it, know noncached only:
 * asking for that is no error, and what else there might be is not known.
 */
static int without_memattr(int err, enum peerbar_memattr memattr)
{
	if (err != -ENOTTY && err != -EOPNOTSUPP)
		return err;
	if (memattr == PEERBAR_MEMATTR_NC)
		return 0;
	return memattr == PEERBAR_MEMATTR_WC ? err : -ENOENT;
}

int peerbar_buffer_set_memattr(struct peerbar_buffer *buf, enum peerbar_memattr memattr)
{
	int ret = enter_exporter(buf, "set the memory attribute of");

	if (ret)
		return ret;
	ret = pb_feature_memattr(buf->dev->fd, &buf->dev->features, buf->fd, memattr);
	pb_device_leave(buf->dev);
	ret = without_memattr(ret, memattr);
	if (ret)
		return feature_failed(buf->dev, "set the memory attribute of", ret);
	buf->memattr = memattr;
	return 0;
}

int peerbar_buffer_revoke(struct peerbar_buffer *buf)
{
	int ret = enter_exporter(buf, "revoke");

	if (ret)
		return ret;
	ret = peerbar_device_revoke_fd(buf->dev, buf->fd);
	pb_device_leave(buf->dev);
	return ret;
}
