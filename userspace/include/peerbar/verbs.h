/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: Buffers as RDMA memory regions
 *
 * Inline, so that libpeerbar itself does not need libibverbs: whoever includes
 * this links with -libverbs.
 */
#ifndef PEERBAR_VERBS_H
#define PEERBAR_VERBS_H

#include <errno.h>
#include <infiniband/verbs.h>

#include <peerbar/peerbar.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * peerbar_reg_mr - register part of a buffer as an RDMA memory region
 * @buf: the buffer; may be closed as soon as this returns
 * @pd: protection domain that will own the region
 * @offset: start inside the buffer, bytes; congruent with @iova within a page
 * @length: bytes, not 0; @offset + @length may not exceed the buffer
 * @iova: address by which peers, and local work requests, name the first byte
 * @access: IBV_ACCESS_LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC
 * and RELAXED_ORDERING; nothing else
 * @out: the region; release it with ibv_dereg_mr()
 *
 * ibv_reg_dmabuf_mr(), with one errno for what is not supported. When the buffer is revoked
 * the region stays registered, but is of no use any more: a peer's access ends
 * with IBV_WC_REM_ACCESS_ERR at the peer, a local one with
 * IBV_WC_LOC_PROT_ERR, and the keys are not handed out again before
 * ibv_dereg_mr().
 *
 * As thread-safe as libibverbs: any thread, any time.
 *
 * Return: 0, or a negative errno: -EOPNOTSUPP the provider or the driver cannot
 * register dma-bufs, or not this exporter's (vfio-pci takes only NICs that let
 * themselves be told to stop: dma_buf_attach_revocable() in the kernel);
 * -EINVAL a bad range or access, or a NULL; -ENODEV the buffer has been revoked; -ENOMEM;
 * -EIO the provider failed without saying why.
 */
static inline int peerbar_reg_mr(const struct peerbar_buffer *buf, struct ibv_pd *pd,
				 uint64_t offset, size_t length, uint64_t iova, int access,
				 struct ibv_mr **out)
{
	struct ibv_mr *mr;

	if (!buf || !pd || !out)
		return -EINVAL;
	errno = 0;
	mr = ibv_reg_dmabuf_mr(pd, offset, length, iova, peerbar_buffer_fd(buf), access);
	/* The word of a kernel that has no such method at all. */
	if (!mr && errno == EPROTONOSUPPORT)
		return -EOPNOTSUPP;
	if (!mr)
		return errno ? -errno : -EIO;
	*out = mr;
	return 0;
}

#ifdef __cplusplus
}
#endif

#endif /* PEERBAR_VERBS_H */
