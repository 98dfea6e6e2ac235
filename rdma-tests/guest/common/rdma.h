/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Just enough verbs for tests and the demo: one queue pair, RC unless told
 * otherwise, per rdma_qp, one operation at a time. Functions return 0 or a negative errno; those that wait
 * for a completion return its status (IBV_WC_SUCCESS is 0) or a negative errno.
 */
#ifndef GUEST_COMMON_RDMA_H
#define GUEST_COMMON_RDMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#define RDMA_DEVICE "rxe0"
/* Of all UD queue pairs here. */
#define RDMA_QKEY 0x11223344u
#define RDMA_ACCESS_ALL                                                              \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | \
	 IBV_ACCESS_REMOTE_ATOMIC)

struct rdma {
	struct ibv_context *context;
	struct ibv_pd *pd;
	union ibv_gid gid;
	int gid_index;
	enum ibv_mtu mtu;
};

struct rdma_endpoint {
	uint32_t qpn;
	uint32_t psn;
	union ibv_gid gid;
};

/* What a queue pair is to be; what is 0 is as usual. */
struct rdma_qp_options {
	enum ibv_qp_type type;	/* RC */
	enum ibv_mtu mtu;	/* the port's */
	struct ibv_srq *srq;	/* none */
	uint32_t pieces;	/* of memory, per work request: 1 */
	uint32_t inline_length; /* no inline data */
	uint64_t send_ops;	/* for ibv_wr_*(): none */
	bool extended_cq;	/* for ibv_start_poll() and so on: no */
};

struct rdma_qp {
	struct rdma *rdma;
	struct rdma_qp_options options;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	uint32_t psn;
};

/* Host memory that the NIC may use. */
struct rdma_mem {
	uint8_t *at;
	size_t length;
	struct ibv_mr *mr;
};

/* What one work request is to do. */
struct rdma_op {
	enum ibv_wr_opcode opcode;
	uint64_t local;
	uint32_t lkey;
	uint32_t length;
	uint64_t remote;
	uint32_t rkey;
	uint64_t add_or_compare;
	uint64_t swap;
	uint32_t immediate;
};

/* Looks for the RoCE v2 GID of an IPv4 address, given as text, or of any. */
int rdma_open(struct rdma *rdma, const char *device, const char *ipv4);
void rdma_close(struct rdma *rdma);

int rdma_qp_open(struct rdma *rdma, struct rdma_qp *qp);
int rdma_qp_open_as(struct rdma *rdma, const struct rdma_qp_options *options, struct rdma_qp *qp);
void rdma_qp_close(struct rdma_qp *qp);
void rdma_qp_endpoint(const struct rdma_qp *qp, struct rdma_endpoint *endpoint);
int rdma_qp_connect(struct rdma_qp *qp, const struct rdma_endpoint *peer);
/* Two queue pairs of one device, connected to each other. */
int rdma_qp_pair_open(struct rdma *rdma, struct rdma_qp *a, struct rdma_qp *b);
int rdma_qp_pair_open_as(struct rdma *rdma, const struct rdma_qp_options *options,
			 struct rdma_qp *a, struct rdma_qp *b);
/*
 * Back to work after an error, with the completion queues they have: by way of
 * the reset state, or as new queue pairs. What was in flight is forgotten.
 */
int rdma_qp_pair_reset(struct rdma_qp *a, struct rdma_qp *b);
int rdma_qp_pair_remake(struct rdma_qp *a, struct rdma_qp *b);

int rdma_mem_open(struct rdma *rdma, size_t length, struct rdma_mem *mem);
void rdma_mem_close(struct rdma_mem *mem);

int rdma_post(struct rdma_qp *qp, const struct rdma_op *op);
int rdma_post_receive(struct rdma_qp *qp, uint64_t local, uint32_t lkey, uint32_t length);
/* Waits for the next completion. */
int rdma_wait(struct rdma_qp *qp, struct ibv_wc *wc);
/* Posts, and waits for the completion. */
int rdma_do(struct rdma_qp *qp, const struct rdma_op *op);

/* Between host memory, from its start plus offset, and a peer's address. */
int rdma_write(struct rdma_qp *qp, const struct rdma_mem *mem, size_t offset, uint32_t length,
	       uint64_t remote, uint32_t rkey);
int rdma_read(struct rdma_qp *qp, const struct rdma_mem *mem, size_t offset, uint32_t length,
	      uint64_t remote, uint32_t rkey);
/* The old value lands at the start of mem, in the CPU's byte order. */
int rdma_fetch_add(struct rdma_qp *qp, const struct rdma_mem *mem, uint64_t remote, uint32_t rkey,
		   uint64_t add);
int rdma_compare_swap(struct rdma_qp *qp, const struct rdma_mem *mem, uint64_t remote,
		      uint32_t rkey, uint64_t compare, uint64_t swap);

/* Name of a completion status, or of a negative errno. */
const char *rdma_status_name(int status);

#endif /* GUEST_COMMON_RDMA_H */
