// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "clock.h"
#include "rdma.h"

#define RDMA_PORT     1
#define RDMA_DEPTH    32
#define RDMA_MAX_GIDS 64
#define RDMA_PSN_MASK 0xffffff
/* Generous: a debug kernel under emulation moves a megabyte in seconds. */
#define RDMA_WAIT_MS 60000

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;

	errno = ENODEV;
	if (!list)
		return NULL;
	for (int i = 0; list[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	ibv_free_device_list(list);
	return context;
}

static bool is_ipv4(const union ibv_gid *gid)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(gid->raw, mapped, sizeof(mapped));
}

static bool is_address(const union ibv_gid *gid, const char *ipv4)
{
	struct in_addr address;

	if (!ipv4)
		return true;
	return inet_pton(AF_INET, ipv4, &address) == 1 &&
	       !memcmp(gid->raw + 12, &address, sizeof(address));
}

static int find_gid(struct rdma *rdma, const char *ipv4)
{
	struct ibv_gid_entry entries[RDMA_MAX_GIDS];
	ssize_t count;

	count = ibv_query_gid_table(rdma->context, entries, RDMA_MAX_GIDS, 0);
	if (count < 0)
		return (int)count;
	for (ssize_t i = 0; i < count; i++) {
		if (entries[i].gid_type != IBV_GID_TYPE_ROCE_V2 || !is_ipv4(&entries[i].gid) ||
		    !is_address(&entries[i].gid, ipv4))
			continue;
		rdma->gid = entries[i].gid;
		rdma->gid_index = (int)entries[i].gid_index;
		return 0;
	}
	return -EADDRNOTAVAIL;
}

int rdma_open(struct rdma *rdma, const char *device, const char *ipv4)
{
	struct ibv_port_attr port;
	int ret;

	memset(rdma, 0, sizeof(*rdma));
	rdma->context = open_device(device);
	if (!rdma->context)
		return errno ? -errno : -ENODEV;
	ret = -ibv_query_port(rdma->context, RDMA_PORT, &port);
	if (!ret)
		ret = find_gid(rdma, ipv4);
	if (ret)
		goto close;
	rdma->mtu = port.active_mtu;
	rdma->pd = ibv_alloc_pd(rdma->context);
	if (rdma->pd)
		return 0;
	ret = -errno;
close:
	rdma_close(rdma);
	return ret;
}

void rdma_close(struct rdma *rdma)
{
	if (rdma->pd)
		ibv_dealloc_pd(rdma->pd);
	if (rdma->context)
		ibv_close_device(rdma->context);
	memset(rdma, 0, sizeof(*rdma));
}

static bool is_datagram(const struct rdma_qp *qp)
{
	return qp->options.type == IBV_QPT_UD;
}

static bool is_reliable(const struct rdma_qp *qp)
{
	return qp->options.type == IBV_QPT_RC;
}

static int to_init(struct rdma_qp *qp)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = RDMA_PORT,
		.qp_access_flags = RDMA_ACCESS_ALL,
		.qkey = RDMA_QKEY,
	};
	int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;

	mask |= is_datagram(qp) ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS;
	return -ibv_modify_qp(qp->qp, &attr, mask);
}

static int make_qp(struct rdma_qp *qp)
{
	const struct rdma_qp_options *options = &qp->options;
	struct ibv_qp_init_attr_ex init = {
		.send_cq = qp->cq,
		.recv_cq = qp->cq,
		.srq = options->srq,
		.qp_type = options->type,
		.sq_sig_all = 1,
		.cap =
			{
				.max_send_wr = RDMA_DEPTH,
				.max_recv_wr = RDMA_DEPTH,
				.max_send_sge = options->pieces,
				.max_recv_sge = options->pieces,
				.max_inline_data = options->inline_length,
			},
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = qp->rdma->pd,
	};

	if (options->send_ops) {
		init.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
		init.send_ops_flags = options->send_ops;
	}
	qp->qp = ibv_create_qp_ex(qp->rdma->context, &init);
	if (!qp->qp)
		return -errno;
	return to_init(qp);
}

/* A late packet of an earlier connection must not fit into this one. */
static int choose_psn(struct rdma_qp *qp)
{
	if (getrandom(&qp->psn, sizeof(qp->psn), 0) != sizeof(qp->psn))
		return -EIO;
	qp->psn &= RDMA_PSN_MASK;
	return 0;
}

static void fill_options(struct rdma_qp *qp, const struct rdma_qp_options *options)
{
	qp->options = *options;
	if (!qp->options.type)
		qp->options.type = IBV_QPT_RC;
	if (!qp->options.mtu)
		qp->options.mtu = qp->rdma->mtu;
	if (!qp->options.pieces)
		qp->options.pieces = 1;
}

static struct ibv_cq *make_cq(const struct rdma_qp *qp)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = 2 * RDMA_DEPTH,
		.wc_flags = IBV_WC_STANDARD_FLAGS,
	};
	struct ibv_cq_ex *cq;

	if (!qp->options.extended_cq)
		return ibv_create_cq(qp->rdma->context, 2 * RDMA_DEPTH, NULL, NULL, 0);
	cq = ibv_create_cq_ex(qp->rdma->context, &attr);
	return cq ? ibv_cq_ex_to_cq(cq) : NULL;
}

int rdma_qp_open_as(struct rdma *rdma, const struct rdma_qp_options *options, struct rdma_qp *qp)
{
	int ret;

	memset(qp, 0, sizeof(*qp));
	qp->rdma = rdma;
	fill_options(qp, options);
	ret = choose_psn(qp);
	if (ret)
		return ret;
	qp->cq = make_cq(qp);
	if (!qp->cq)
		return -errno;
	ret = make_qp(qp);
	if (ret)
		rdma_qp_close(qp);
	return ret;
}

int rdma_qp_open(struct rdma *rdma, struct rdma_qp *qp)
{
	return rdma_qp_open_as(rdma, &(struct rdma_qp_options){0}, qp);
}

void rdma_qp_close(struct rdma_qp *qp)
{
	if (qp->qp)
		ibv_destroy_qp(qp->qp);
	if (qp->cq)
		ibv_destroy_cq(qp->cq);
	memset(qp, 0, sizeof(*qp));
}

void rdma_qp_endpoint(const struct rdma_qp *qp, struct rdma_endpoint *endpoint)
{
	endpoint->qpn = qp->qp->qp_num;
	endpoint->psn = qp->psn;
	endpoint->gid = qp->rdma->gid;
}

static int to_rtr(struct rdma_qp *qp, const struct rdma_endpoint *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = qp->options.mtu,
		.dest_qp_num = peer->qpn,
		.rq_psn = peer->psn,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr =
			{
				.is_global = 1,
				.port_num = RDMA_PORT,
				.grh =
					{
						.dgid = peer->gid,
						.sgid_index = qp->rdma->gid_index,
						.hop_limit = 64,
					},
			},
	};

	int mask = IBV_QP_STATE;

	if (!is_datagram(qp))
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (is_reliable(qp))
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return -ibv_modify_qp(qp->qp, &attr, mask);
}

static int to_rts(struct rdma_qp *qp)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		.sq_psn = qp->psn,
		.max_rd_atomic = 1,
		.timeout = 17, /* half a second */
		.retry_cnt = 7,
		.rnr_retry = 7,
	};

	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (is_reliable(qp))
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	return -ibv_modify_qp(qp->qp, &attr, mask);
}

int rdma_qp_connect(struct rdma_qp *qp, const struct rdma_endpoint *peer)
{
	int ret = to_rtr(qp, peer);

	return ret ? ret : to_rts(qp);
}

static int connect_pair(struct rdma_qp *a, struct rdma_qp *b)
{
	struct rdma_endpoint end_a, end_b;
	int ret;

	rdma_qp_endpoint(a, &end_a);
	rdma_qp_endpoint(b, &end_b);
	ret = rdma_qp_connect(a, &end_b);
	return ret ? ret : rdma_qp_connect(b, &end_a);
}

int rdma_qp_pair_open(struct rdma *rdma, struct rdma_qp *a, struct rdma_qp *b)
{
	return rdma_qp_pair_open_as(rdma, &(struct rdma_qp_options){0}, a, b);
}

int rdma_qp_pair_open_as(struct rdma *rdma, const struct rdma_qp_options *options,
			 struct rdma_qp *a, struct rdma_qp *b)
{
	int ret;

	memset(b, 0, sizeof(*b));
	ret = rdma_qp_open_as(rdma, options, a);
	if (ret)
		return ret;
	ret = rdma_qp_open_as(rdma, options, b);
	if (ret)
		goto close;
	ret = connect_pair(a, b);
	if (!ret)
		return 0;
close:
	rdma_qp_close(b);
	rdma_qp_close(a);
	return ret;
}

static int drain(struct rdma_qp *qp)
{
	struct ibv_wc wc;
	int found;

	do
		found = ibv_poll_cq(qp->cq, 1, &wc);
	while (found > 0);
	return found < 0 ? -EIO : choose_psn(qp);
}

static int reset(struct rdma_qp *qp)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RESET};
	int ret = -ibv_modify_qp(qp->qp, &attr, IBV_QP_STATE);

	if (!ret)
		ret = drain(qp);
	return ret ? ret : to_init(qp);
}

static int remake(struct rdma_qp *qp)
{
	int ret = -ibv_destroy_qp(qp->qp);

	if (ret)
		return ret;
	qp->qp = NULL;
	ret = drain(qp);
	return ret ? ret : make_qp(qp);
}

int rdma_qp_pair_reset(struct rdma_qp *a, struct rdma_qp *b)
{
	int ret = reset(a);

	if (!ret)
		ret = reset(b);
	return ret ? ret : connect_pair(a, b);
}

int rdma_qp_pair_remake(struct rdma_qp *a, struct rdma_qp *b)
{
	int ret = remake(a);

	if (!ret)
		ret = remake(b);
	return ret ? ret : connect_pair(a, b);
}

int rdma_mem_open(struct rdma *rdma, size_t length, struct rdma_mem *mem)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error;

	memset(mem, 0, sizeof(*mem));
	if (at == MAP_FAILED)
		return -errno;
	mem->mr = ibv_reg_mr(rdma->pd, at, length, RDMA_ACCESS_ALL);
	if (!mem->mr) {
		error = errno;
		munmap(at, length);
		return -error;
	}
	mem->at = at;
	mem->length = length;
	return 0;
}

void rdma_mem_close(struct rdma_mem *mem)
{
	if (mem->mr)
		ibv_dereg_mr(mem->mr);
	if (mem->at)
		munmap(mem->at, mem->length);
	memset(mem, 0, sizeof(*mem));
}

static bool is_atomic(enum ibv_wr_opcode opcode)
{
	return opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
}

static void fill_remote(struct ibv_send_wr *wr, const struct rdma_op *op)
{
	if (is_atomic(op->opcode)) {
		wr->wr.atomic.remote_addr = op->remote;
		wr->wr.atomic.rkey = op->rkey;
		wr->wr.atomic.compare_add = op->add_or_compare;
		wr->wr.atomic.swap = op->swap;
	} else {
		wr->wr.rdma.remote_addr = op->remote;
		wr->wr.rdma.rkey = op->rkey;
	}
}

int rdma_post(struct rdma_qp *qp, const struct rdma_op *op)
{
	struct ibv_sge sge = {
		.addr = op->local,
		.length = op->length,
		.lkey = op->lkey,
	};
	struct ibv_send_wr wr = {
		.opcode = op->opcode,
		.sg_list = &sge,
		.num_sge = op->length ? 1 : 0,
		.imm_data = htonl(op->immediate),
	};
	struct ibv_send_wr *bad;

	fill_remote(&wr, op);
	return -ibv_post_send(qp->qp, &wr, &bad);
}

int rdma_post_receive(struct rdma_qp *qp, uint64_t local, uint32_t lkey, uint32_t length)
{
	struct ibv_sge sge = {.addr = local, .length = length, .lkey = lkey};
	struct ibv_recv_wr wr = {.sg_list = &sge, .num_sge = 1};
	struct ibv_recv_wr *bad;

	return -ibv_post_recv(qp->qp, &wr, &bad);
}

int rdma_wait(struct rdma_qp *qp, struct ibv_wc *wc)
{
	long long deadline = clock_ms() + RDMA_WAIT_MS;
	int found;

	while (!(found = ibv_poll_cq(qp->cq, 1, wc))) {
		if (clock_ms() > deadline)
			return -ETIMEDOUT;
		sched_yield();
	}
	return found < 0 ? -EIO : (int)wc->status;
}

int rdma_do(struct rdma_qp *qp, const struct rdma_op *op)
{
	struct ibv_wc wc;
	int ret = rdma_post(qp, op);

	return ret ? ret : rdma_wait(qp, &wc);
}

static int transfer(struct rdma_qp *qp, enum ibv_wr_opcode opcode, const struct rdma_mem *mem,
		    size_t offset, uint32_t length, uint64_t remote, uint32_t rkey)
{
	const struct rdma_op op = {
		.opcode = opcode,
		.local = (uintptr_t)mem->at + offset,
		.lkey = mem->mr->lkey,
		.length = length,
		.remote = remote,
		.rkey = rkey,
	};

	return rdma_do(qp, &op);
}

int rdma_write(struct rdma_qp *qp, const struct rdma_mem *mem, size_t offset, uint32_t length,
	       uint64_t remote, uint32_t rkey)
{
	return transfer(qp, IBV_WR_RDMA_WRITE, mem, offset, length, remote, rkey);
}

int rdma_read(struct rdma_qp *qp, const struct rdma_mem *mem, size_t offset, uint32_t length,
	      uint64_t remote, uint32_t rkey)
{
	return transfer(qp, IBV_WR_RDMA_READ, mem, offset, length, remote, rkey);
}

int rdma_fetch_add(struct rdma_qp *qp, const struct rdma_mem *mem, uint64_t remote, uint32_t rkey,
		   uint64_t add)
{
	const struct rdma_op op = {
		.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
		.local = (uintptr_t)mem->at,
		.lkey = mem->mr->lkey,
		.length = sizeof(uint64_t),
		.remote = remote,
		.rkey = rkey,
		.add_or_compare = add,
	};

	return rdma_do(qp, &op);
}

int rdma_compare_swap(struct rdma_qp *qp, const struct rdma_mem *mem, uint64_t remote,
		      uint32_t rkey, uint64_t compare, uint64_t swap)
{
	const struct rdma_op op = {
		.opcode = IBV_WR_ATOMIC_CMP_AND_SWP,
		.local = (uintptr_t)mem->at,
		.lkey = mem->mr->lkey,
		.length = sizeof(uint64_t),
		.remote = remote,
		.rkey = rkey,
		.add_or_compare = compare,
		.swap = swap,
	};

	return rdma_do(qp, &op);
}

const char *rdma_status_name(int status)
{
	return status < 0 ? strerror(-status) : ibv_wc_status_str((enum ibv_wc_status)status);
}
