// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <string.h>
#include <unistd.h>

#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <sys/ioctl.h>

#include "loopback.h"
#include "work.h"

struct ibv_send_wr work_rdma(enum ibv_wr_opcode opcode, uint64_t remote, uint32_t rkey)
{
	struct ibv_send_wr wr = {.opcode = opcode};

	wr.wr.rdma.remote_addr = remote;
	wr.wr.rdma.rkey = rkey;
	return wr;
}

struct ibv_send_wr work_invalidation(enum ibv_wr_opcode opcode, uint32_t rkey)
{
	struct ibv_send_wr wr = {.opcode = opcode};

	wr.invalidate_rkey = rkey;
	return wr;
}

enum ibv_qp_state work_state(const struct rdma_qp *qp)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	CHECK_OK(-ibv_query_qp(qp->qp, &attr, IBV_QP_STATE, &init));
	return attr.qp_state;
}

struct ibv_ah *work_own_address(struct rdma *rdma)
{
	struct ibv_ah_attr attr = {
		.is_global = 1,
		.port_num = 1,
		.grh =
			{
				.dgid = rdma->gid,
				.sgid_index = (uint8_t)rdma->gid_index,
				.hop_limit = 64,
			},
	};
	struct ibv_ah *ah = ibv_create_ah(rdma->pd, &attr);

	CHECK(ah, "ibv_create_ah: %s", strerror(errno));
	return ah;
}

struct ibv_sge work_piece(const struct ibv_mr *mr, uint64_t at, uint32_t length)
{
	return (struct ibv_sge){.addr = at, .length = length, .lkey = mr->lkey};
}

void work_post(struct rdma_qp *qp, struct ibv_send_wr wr, struct ibv_sge *pieces, int count)
{
	struct ibv_send_wr *bad;

	wr.sg_list = pieces;
	wr.num_sge = count;
	CHECK_OK(-ibv_post_send(qp->qp, &wr, &bad));
}

void work_receive(struct rdma_qp *qp, struct ibv_sge *pieces, int count)
{
	struct ibv_recv_wr wr = {.sg_list = pieces, .num_sge = count}, *bad;

	if (qp->options.srq)
		CHECK_OK(-ibv_post_srq_recv(qp->options.srq, &wr, &bad));
	else
		CHECK_OK(-ibv_post_recv(qp->qp, &wr, &bad));
}

struct ibv_wc work_done_at(const char *file, int line, struct rdma_qp *qp,
			   enum ibv_wc_opcode opcode, uint32_t length)
{
	struct ibv_wc wc;

	loopback_check_status(file, line, "the completion", rdma_wait(qp, &wc), IBV_WC_SUCCESS);
	if (wc.opcode != opcode)
		tap_fail(file, line, "opcode %d, wanted %d", wc.opcode, opcode);
	if (wc.byte_len != length)
		tap_fail(file, line, "%u bytes, wanted %u", wc.byte_len, length);
	if (wc.qp_num != qp->qp->qp_num)
		tap_fail(file, line, "it is of another queue pair");
	return wc;
}

void work_failed_at(const char *file, int line, struct rdma_qp *qp, enum ibv_wc_status status)
{
	struct ibv_wc wc;

	loopback_check_status(file, line, "the completion", rdma_wait(qp, &wc), (int)status);
}

int work_rereg(struct ibv_mr *mr, int flags, struct ibv_pd *pd, uint64_t start, uint64_t length,
	       uint64_t iova, int access)
{
	struct ib_uverbs_rereg_mr_resp answer;
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_rereg_mr command;
	} request = {
		.header =
			{
				.command = IB_USER_VERBS_CMD_REREG_MR,
				.in_words = sizeof(request) / 4,
				.out_words = sizeof(answer) / 4,
			},
		.command =
			{
				.response = (uintptr_t)&answer,
				.mr_handle = mr->handle,
				.flags = (uint32_t)flags,
				.start = start,
				.length = length,
				.hca_va = iova,
				.pd_handle = pd ? pd->handle : 0,
				.access_flags = (uint32_t)access,
			},
	};

	if (write(mr->context->cmd_fd, &request, sizeof(request)) < 0)
		return -errno;
	mr->lkey = answer.lkey;
	mr->rkey = answer.rkey;
	return 0;
}

void work_make_bindable(struct ibv_mr *mr)
{
	CHECK_OK(work_rereg(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, 0, 0, 0,
			    RDMA_ACCESS_ALL | IBV_ACCESS_MW_BIND));
}

int work_advise(struct ibv_pd *pd, const struct ibv_mr *mr, uint64_t at,
		enum ibv_advise_mr_advice advice, uint32_t flags)
{
	struct ibv_sge piece = work_piece(mr, at, 64);
	struct {
		struct ib_uverbs_ioctl_hdr header;
		struct ib_uverbs_attr attributes[4];
	} request = {
		.header =
			{
				.length = sizeof(request),
				.object_id = UVERBS_OBJECT_MR,
				.method_id = UVERBS_METHOD_ADVISE_MR,
				.num_attrs = 4,
				.driver_id = RDMA_DRIVER_RXE,
			},
		.attributes =
			{
				{.attr_id = UVERBS_ATTR_ADVISE_MR_PD_HANDLE, .data = pd->handle},
				{.attr_id = UVERBS_ATTR_ADVISE_MR_ADVICE,
				 .len = sizeof(uint64_t),
				 .data = advice},
				{.attr_id = UVERBS_ATTR_ADVISE_MR_FLAGS,
				 .len = sizeof(uint32_t),
				 .data = flags},
				{.attr_id = UVERBS_ATTR_ADVISE_MR_SGE_LIST,
				 .len = sizeof(piece),
				 .data = (uintptr_t)&piece},
			},
	};

	for (int i = 0; i < 4; i++)
		request.attributes[i].flags = UVERBS_ATTR_F_MANDATORY;
	return ioctl(mr->context->cmd_fd, RDMA_VERBS_IOCTL, &request) ? -errno : 0;
}

void window_open(struct ibv_pd *pd, enum ibv_mw_type type, struct window *window)
{
	window->mw = ibv_alloc_mw(pd, type);
	CHECK(window->mw, "ibv_alloc_mw: %s", strerror(errno));
	window->rkey = window->mw->rkey;
}

static int bind_type1(struct window *window, struct rdma_qp *qp,
		      const struct ibv_mw_bind_info *info)
{
	struct ibv_mw_bind bind = {.bind_info = *info};
	struct ibv_wc wc;
	int ret;

	CHECK_OK(-ibv_bind_mw(qp->qp, window->mw, &bind));
	ret = rdma_wait(qp, &wc);
	/* The provider takes it as bound as soon as it is posted. */
	if (ret)
		window->mw->rkey = window->rkey;
	else
		window->rkey = window->mw->rkey;
	return ret;
}

static int bind_type2(struct window *window, struct rdma_qp *qp,
		      const struct ibv_mw_bind_info *info, uint32_t rkey)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW}, *bad;
	struct ibv_wc wc;
	int ret;

	wr.bind_mw.mw = window->mw;
	wr.bind_mw.rkey = rkey;
	wr.bind_mw.bind_info = *info;
	window->mw->rkey = window->rkey;
	CHECK_OK(-ibv_post_send(qp->qp, &wr, &bad));
	ret = rdma_wait(qp, &wc);
	if (!ret)
		window->rkey = wr.bind_mw.rkey;
	return ret;
}

static struct ibv_mw_bind_info bind_info(struct ibv_mr *mr, uint64_t at, uint64_t length,
					 unsigned int access)
{
	return (struct ibv_mw_bind_info){
		.mr = mr,
		.addr = at,
		.length = length,
		.mw_access_flags = access,
	};
}

int window_bind(struct window *window, struct rdma_qp *qp, struct ibv_mr *mr, uint64_t at,
		uint64_t length, unsigned int access)
{
	const struct ibv_mw_bind_info info = bind_info(mr, at, length, access);

	return window->mw->type == IBV_MW_TYPE_1
		       ? bind_type1(window, qp, &info)
		       : bind_type2(window, qp, &info, ibv_inc_rkey(window->rkey));
}

int window_move(struct window *window, struct rdma_qp *qp, struct ibv_mr *mr, uint64_t at,
		uint64_t length, unsigned int access)
{
	const struct ibv_mw_bind_info info = bind_info(mr, at, length, access);
	struct ibv_wc wc;
	int ret;

	work_post(qp, work_invalidation(IBV_WR_LOCAL_INV, window->rkey), NULL, 0);
	ret = rdma_wait(qp, &wc);
	return ret ? ret : bind_type2(window, qp, &info, window->rkey);
}

void window_close(struct window *window)
{
	CHECK_OK(-ibv_dealloc_mw(window->mw));
	memset(window, 0, sizeof(*window));
}
