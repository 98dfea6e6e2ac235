// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The faults of the rxe provider's data path that patches 0005 to 0008 fix,
 * fixed from the outside: what was wrong is told there.
 *
 * The provider's functions do their work as before; those here go before them
 * and set right what they leave in the queues. Their layout is uAPI, shared
 * with the kernel (rdma/rdma_user_rxe.h). What has to be known besides is kept
 * behind the provider's own object, for which provider_calloc() leaves room:
 * where the queue is (provider_mmap() sees it being mapped) and how far the
 * work requests that are being built, or the completions that are being looked
 * at, have come. The provider's locks protect this as well: its wr_start() and
 * start_poll() take them.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <rdma/rdma_user_rxe.h>

#include "rxe-archive.h"

CHECK_SLOT(SLOT_CREATE_QP_EX);
CHECK_SLOT(SLOT_CREATE_CQ_EX);
CHECK_SLOT(SLOT_RESIZE_CQ);
CHECK_SLOT(SLOT_POST_SEND);

/*
 * A builder that is not known here would take a place in the queue that is
 * not counted: this must be the last member.
 */
#ifdef HAVE_WR_FLUSH
#define LAST_BUILDER wr_flush
#else
#define LAST_BUILDER wr_atomic_write
#endif
_Static_assert(offsetof(struct ibv_qp_ex, LAST_BUILDER) + sizeof(op_fn) == sizeof(struct ibv_qp_ex),
	       "libibverbs has a builder of work requests that is not known here");

void *provider_calloc(size_t count, size_t size);
void *provider_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);

/* Behind the provider's queue pair, if that is one for ibv_wr_*(). */
struct more_qp {
	struct ibv_qp_ex provider; /* its functions */
	struct rxe_queue_buf *sq;
	uint32_t max_inline;
	uint32_t index; /* where the next work request goes */
	int error;
};

/* Behind the provider's completion queue, if that is an extended one. */
struct more_cq {
	struct ibv_cq_ex provider;
	struct rxe_queue_buf *queue;
	uint32_t index; /* of the current completion */
};

/* The provider's ops. */
static struct ibv_qp *(*provider_create_qp_ex)(struct ibv_context *context,
					       struct ibv_qp_init_attr_ex *attr);
static struct ibv_cq_ex *(*provider_create_cq_ex)(struct ibv_context *context,
						  struct ibv_cq_init_attr_ex *attr);
static int (*provider_resize_cq)(struct ibv_cq *cq, int cqe);
static int (*provider_post_send)(struct ibv_qp *qp, struct ibv_send_wr *wr,
				 struct ibv_send_wr **bad);

/* What is being created in this thread. */
struct creation {
	size_t room;		     /* asked for, for the first object that is allocated */
	void *object;		     /* that object */
	size_t offset;		     /* of the room in it */
	struct rxe_queue_buf *queue; /* mapped last: the send queue, after the receive queue */
};

static __thread struct creation *creation;
/* Whose queue is being mapped anew, under the provider's lock. */
static __thread struct more_cq *resized;

/* Where the room is in all objects of the kind: of the first one's size. */
static _Atomic size_t qp_offset, cq_offset;

void *provider_calloc(size_t count, size_t size)
{
	struct creation *c = creation;

	if (!c || c->object)
		return calloc(count, size);
	c->offset = (count * size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	c->object = calloc(1, c->offset + c->room);
	return c->object;
}

void *provider_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	void *mapped = mmap(at, length, protection, flags, fd, offset);

	if (mapped == MAP_FAILED)
		return mapped;
	if (creation)
		creation->queue = mapped;
	if (resized)
		resized->queue = mapped;
	return mapped;
}

static uint32_t producer_of(struct rxe_queue_buf *queue)
{
	return atomic_load_explicit((_Atomic(uint32_t) *)&queue->producer_index,
				    memory_order_acquire);
}

static uint32_t consumer_of(struct rxe_queue_buf *queue)
{
	return atomic_load_explicit((_Atomic(uint32_t) *)&queue->consumer_index,
				    memory_order_acquire);
}

/* --- building work requests ------------------------------------------------- */

static struct more_qp *more_qp(struct ibv_qp_ex *qp)
{
	return (struct more_qp *)((char *)qp + qp_offset);
}

static void start(struct ibv_qp_ex *qp)
{
	struct more_qp *more = more_qp(qp);

	more->provider.wr_start(qp);
	more->error = 0;
	more->index = producer_of(more->sq);
}

static int complete(struct ibv_qp_ex *qp)
{
	struct more_qp *more = more_qp(qp);
	int error = more->error;

	if (!error)
		return more->provider.wr_complete(qp);
	more->provider.wr_abort(qp);
	return error;
}

/*
 * Counts one more work request; returns the provider's functions. Comes before
 * the builder: where there is a place now there is one then, too, because only
 * the consumer moves meanwhile.
 */
static const struct ibv_qp_ex *count(struct ibv_qp_ex *qp)
{
	struct more_qp *more = more_qp(qp);
	uint32_t next = (more->index + 1) & more->sq->index_mask;

	if (!more->error && next == consumer_of(more->sq))
		more->error = ENOSPC;
	if (!more->error)
		more->index = next;
	return &more->provider;
}

static void build_cmp_swp(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote, uint64_t compare,
			  uint64_t swap)
{
	count(qp)->wr_atomic_cmp_swp(qp, rkey, remote, compare, swap);
}

static void build_fetch_add(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote, uint64_t add)
{
	count(qp)->wr_atomic_fetch_add(qp, rkey, remote, add);
}

static void build_bind_mw(struct ibv_qp_ex *qp, struct ibv_mw *mw, uint32_t rkey,
			  const struct ibv_mw_bind_info *info)
{
	count(qp)->wr_bind_mw(qp, mw, rkey, info);
}

static void build_local_inv(struct ibv_qp_ex *qp, uint32_t rkey)
{
	count(qp)->wr_local_inv(qp, rkey);
}

static void build_read(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote)
{
	count(qp)->wr_rdma_read(qp, rkey, remote);
}

static void build_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote)
{
	count(qp)->wr_rdma_write(qp, rkey, remote);
}

static void build_write_imm(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote, __be32 imm)
{
	count(qp)->wr_rdma_write_imm(qp, rkey, remote, imm);
}

static void build_send(struct ibv_qp_ex *qp)
{
	count(qp)->wr_send(qp);
}

static void build_send_imm(struct ibv_qp_ex *qp, __be32 imm)
{
	count(qp)->wr_send_imm(qp, imm);
}

static void build_send_inv(struct ibv_qp_ex *qp, uint32_t rkey)
{
	count(qp)->wr_send_inv(qp, rkey);
}

static void build_atomic_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote,
			       const void *value)
{
	count(qp)->wr_atomic_write(qp, rkey, remote, value);
}

#ifdef HAVE_WR_FLUSH
static void build_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote, size_t length,
			uint8_t type, uint8_t level)
{
	count(qp)->wr_flush(qp, rkey, remote, length, type, level);
}
#endif

/* --- their data ------------------------------------------------------------- */

/*
 * The work request that was built last. It is not the kernel's yet, so a setter
 * that the provider has refused may leave anything in it.
 */
static struct rxe_send_wqe *built(struct more_qp *more)
{
	struct rxe_queue_buf *sq = more->sq;
	uint32_t index = (more->index - 1) & sq->index_mask;

	return (struct rxe_send_wqe *)(sq->data + ((size_t)index << sq->log2_elem_size));
}

static void set_length(struct more_qp *more, uint32_t length)
{
	struct rxe_send_wqe *wqe = built(more);

	wqe->dma.length = length;
	wqe->dma.resid = length;
}

static void set_inline_data(struct ibv_qp_ex *qp, void *addr, size_t length)
{
	struct more_qp *more = more_qp(qp);

	if (more->error)
		return;
	more->provider.wr_set_inline_data(qp, addr, length);
	built(more)->wr.send_flags |= IBV_SEND_INLINE;
}

/* Before the provider copies anything: it would go past the end. */
static void set_inline_data_list(struct ibv_qp_ex *qp, size_t nr, const struct ibv_data_buf *pieces)
{
	struct more_qp *more = more_qp(qp);
	size_t room = more->max_inline;

	for (size_t i = 0; !more->error && i < nr; i++) {
		if (pieces[i].length > room)
			more->error = ENOSPC;
		room -= pieces[i].length;
	}
	if (more->error)
		return;
	more->provider.wr_set_inline_data_list(qp, nr, pieces);
	built(more)->wr.send_flags |= IBV_SEND_INLINE;
	set_length(more, more->max_inline - room);
}

static void set_sge(struct ibv_qp_ex *qp, uint32_t lkey, uint64_t addr, uint32_t length)
{
	struct more_qp *more = more_qp(qp);

	if (more->error)
		return;
	more->provider.wr_set_sge(qp, lkey, addr, length);
	built(more)->wr.send_flags &= ~(uint32_t)IBV_SEND_INLINE;
}

static uint64_t sum(const struct ibv_sge *pieces, size_t nr)
{
	uint64_t length = 0;

	for (size_t i = 0; i < nr; i++)
		length += pieces[i].length;
	return length;
}

static void set_sge_list(struct ibv_qp_ex *qp, size_t nr, const struct ibv_sge *pieces)
{
	struct more_qp *more = more_qp(qp);
	uint64_t length = sum(pieces, nr);

	if (!more->error && length > UINT32_MAX)
		more->error = EINVAL;
	if (more->error)
		return;
	more->provider.wr_set_sge_list(qp, nr, pieces);
	built(more)->wr.send_flags &= ~(uint32_t)IBV_SEND_INLINE;
	set_length(more, length);
}

/* Only where the provider has one: not every queue pair takes all operations. */
#define REPLACE(object, member, function)            \
	do {                                         \
		if ((object)->member)                \
			(object)->member = function; \
	} while (0)

static void replace_builders(struct ibv_qp_ex *qp)
{
	REPLACE(qp, wr_atomic_cmp_swp, build_cmp_swp);
	REPLACE(qp, wr_atomic_fetch_add, build_fetch_add);
	REPLACE(qp, wr_bind_mw, build_bind_mw);
	REPLACE(qp, wr_local_inv, build_local_inv);
	REPLACE(qp, wr_rdma_read, build_read);
	REPLACE(qp, wr_rdma_write, build_write);
	REPLACE(qp, wr_rdma_write_imm, build_write_imm);
	REPLACE(qp, wr_send, build_send);
	REPLACE(qp, wr_send_imm, build_send_imm);
	REPLACE(qp, wr_send_inv, build_send_inv);
	REPLACE(qp, wr_atomic_write, build_atomic_write);
#ifdef HAVE_WR_FLUSH
	REPLACE(qp, wr_flush, build_flush);
#endif
}

static void replace_setters(struct ibv_qp_ex *qp)
{
	REPLACE(qp, wr_set_inline_data, set_inline_data);
	REPLACE(qp, wr_set_inline_data_list, set_inline_data_list);
	REPLACE(qp, wr_set_sge, set_sge);
	REPLACE(qp, wr_set_sge_list, set_sge_list);
	REPLACE(qp, wr_start, start);
	REPLACE(qp, wr_complete, complete);
}

static struct ibv_qp *create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr)
{
	struct creation c = {.room = sizeof(struct more_qp)};
	struct ibv_qp *qp;
	struct more_qp *more;

	creation = &c;
	qp = provider_create_qp_ex(context, attr);
	creation = NULL;
	/* The object starts with what applications see, in all releases so far. */
	if (!qp || (void *)qp != c.object || !c.queue ||
	    !(attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS))
		return qp;
	qp_offset = c.offset;
	more = more_qp((struct ibv_qp_ex *)qp);
	more->provider = *(struct ibv_qp_ex *)qp;
	more->sq = c.queue;
	more->max_inline = attr->cap.max_inline_data;
	replace_builders((struct ibv_qp_ex *)qp);
	replace_setters((struct ibv_qp_ex *)qp);
	return qp;
}

/* --- polling ---------------------------------------------------------------- */

static struct more_cq *more_cq(struct ibv_cq_ex *cq)
{
	return (struct more_cq *)((char *)cq + cq_offset);
}

static int start_poll(struct ibv_cq_ex *cq, struct ibv_poll_cq_attr *attr)
{
	struct more_cq *more = more_cq(cq);
	int ret = more->provider.start_poll(cq, attr);

	if (!ret)
		more->index = consumer_of(more->queue);
	return ret;
}

/* The provider is asked only for what is there, and then gets it right. */
static int next_poll(struct ibv_cq_ex *cq)
{
	struct more_cq *more = more_cq(cq);
	uint32_t next = (more->index + 1) & more->queue->index_mask;

	if (next == producer_of(more->queue)) {
		errno = ENOENT;
		return ENOENT;
	}
	more->index = next;
	return more->provider.next_poll(cq);
}

static struct ibv_cq_ex *create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr)
{
	struct creation c = {.room = sizeof(struct more_cq)};
	struct ibv_cq_ex *cq;
	struct more_cq *more;

	creation = &c;
	cq = provider_create_cq_ex(context, attr);
	creation = NULL;
	if (!cq || (void *)cq != c.object || !c.queue)
		return cq;
	cq_offset = c.offset;
	more = more_cq(cq);
	more->provider = *cq;
	more->queue = c.queue;
	REPLACE(cq, start_poll, start_poll);
	REPLACE(cq, next_poll, next_poll);
	return cq;
}

/* An ordinary completion queue has the same object, and these members empty. */
static int resize_cq(struct ibv_cq *cq, int cqe)
{
	struct ibv_cq_ex *extended = (struct ibv_cq_ex *)cq;
	int ret;

	if (extended->start_poll == start_poll)
		resized = more_cq(extended);
	ret = provider_resize_cq(cq, cqe);
	resized = NULL;
	return ret;
}

/* --- ibv_post_send() -------------------------------------------------------- */

static struct ibv_send_wr *first_too_long(struct ibv_send_wr *wr, struct ibv_send_wr **before)
{
	*before = NULL;
	for (; wr; wr = wr->next) {
		if (wr->num_sge > 0 && sum(wr->sg_list, wr->num_sge) > UINT32_MAX)
			return wr;
		*before = wr;
	}
	return NULL;
}

/* What comes before the one that is refused is posted, as with any other error. */
static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct ibv_send_wr *before, *refused = first_too_long(wr, &before);
	int ret = 0;

	if (!refused || !bad)
		return provider_post_send(qp, wr, bad);
	if (before) {
		before->next = NULL;
		ret = provider_post_send(qp, wr, bad);
		before->next = refused;
	}
	if (ret)
		return ret;
	*bad = refused;
	return EINVAL;
}

/* --- the ops ---------------------------------------------------------------- */

#define WRAP(slot, function)                                                                    \
	do {                                                                                    \
		provider_##function = (typeof(provider_##function))ops[(slot) / sizeof(op_fn)]; \
		if (provider_##function)                                                        \
			more[(slot) / sizeof(op_fn)] = (op_fn)function;                         \
	} while (0)

void data_path_wrap(const op_fn *ops, op_fn *more)
{
	WRAP(SLOT_CREATE_QP_EX, create_qp_ex);
	WRAP(SLOT_CREATE_CQ_EX, create_cq_ex);
	WRAP(SLOT_RESIZE_CQ, resize_cq);
	WRAP(SLOT_POST_SEND, post_send);
}
