// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <string.h>

#include "context.h"
#include "util.h"

static const struct pb_roots machine_roots = {
	.sys = "/sys",
	.dev = "/dev",
	.proc = "/proc",
	.run = "/run",
	.modules = "/lib/modules",
};

const char *peerbar_version(void)
{
	return PB_VERSION;
}

/* No struct of any release is longer: a size that was never set. */
#define SIZE_LIMIT 4096

int pb_check_options(const void *options, size_t size, size_t min, size_t known)
{
	const unsigned char *bytes = options;

	if (size < min || size > SIZE_LIMIT)
		return -EINVAL;
	for (size_t i = known; i < size; i++) {
		if (bytes[i])
			return -E2BIG;
	}
	return 0;
}

int pb_fill_caps(void *out, const void *caps, size_t min, size_t known)
{
	size_t size = *(size_t *)out;

	if (size < min || size > SIZE_LIMIT)
		return -EINVAL;
	memset(out, 0, size);
	memcpy(out, caps, PB_MIN(size, known));
	*(size_t *)out = size;
	return 0;
}

static int open_root(struct peerbar *pb, const char *path, int *fd)
{
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return pb_fail(pb, -errno, "cannot open %s: is it mounted?", path);
	return 0;
}

static int open_roots(struct peerbar *pb, const struct pb_roots *roots)
{
	int ret;

	ret = open_root(pb, roots->sys, &pb->sys_fd);
	if (!ret)
		ret = open_root(pb, roots->dev, &pb->dev_fd);
	if (!ret)
		ret = open_root(pb, roots->proc, &pb->proc_fd);
	return ret;
}

int pb_open_roots(const struct peerbar_options *options, const struct pb_roots *roots,
		  struct peerbar **out)
{
	struct peerbar *pb;
	int ret;

	if (!out)
		return -EINVAL;
	if (options) {
		ret = pb_check_options(options, options->size,
				       PB_OFFSETOFEND(struct peerbar_options, log_arg),
				       sizeof(*options));
		if (ret)
			return ret;
	}

	pb = calloc(1, sizeof(*pb));
	if (!pb)
		return -ENOMEM;
	pb->sys_fd = pb->dev_fd = pb->proc_fd = pb->iommufd = -1;
	pb->run = roots->run;
	pb->modules = roots->modules;
	pthread_mutex_init(&pb->lock, NULL);
	if (options) {
		pb->log = options->log;
		pb->log_arg = options->log_arg;
	}

	ret = open_roots(pb, roots);
	if (ret) {
		peerbar_close(pb);
		return ret;
	}
	*out = pb;
	return 0;
}

int peerbar_open(const struct peerbar_options *options, struct peerbar **out)
{
	return pb_open_roots(options, &machine_roots, out);
}

void peerbar_close(struct peerbar *pb)
{
	int saved = errno;

	if (!pb)
		return;
	pb_close_fd(pb->iommufd);
	pb_close_fd(pb->proc_fd);
	pb_close_fd(pb->dev_fd);
	pb_close_fd(pb->sys_fd);
	pthread_mutex_destroy(&pb->lock);
	free(pb);
	errno = saved;
}
