// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A slice is taken back in the middle of every kind of traffic, again and
 * again. The checker owns the same range through a buffer of its own and marks
 * it the moment that revoke has returned: no byte of the mark may change, and
 * none may be seen by a peer.
 *
 * Bytes of the traffic have the top bit set, those of the mark have not, so
 * that one of the other kind can be told from wherever it comes.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"

#define BASE	   MIB(1)
#define LENGTH	   KIB(32)
#define MESSAGE	   KIB(8)
#define COUNTER_AT KIB(24)
#define SWAP_AT	   (KIB(24) + 64)
#define IOVA	   0x100000ULL
#define BESIDE	   (BASE + LENGTH)
#define NEEDS	   (FIXTURE_MEM | NEED_SERIES)
#define WINDOW	   3
#define ROUNDS	   1000
#define SOAK	   100000
/* For one that hangs; a slow machine needs a fraction of it. */
#define PATIENCE_MS 60000
/* Revocation waits for the accesses that are under way, not for the traffic. */
#define REVOKE_MS 5000

/* One kind of traffic: a pair of queue pairs and what goes from one to the other. */
struct flow {
	const char *name;
	enum ibv_wr_opcode opcode;
	uint64_t at;	   /* in the slice */
	bool slice_is_own; /* the requester's own, and not its peer's */
	struct rdma_qp requester;
	struct rdma_qp responder;
	struct rdma_op op;
	unsigned int in_flight;
	_Atomic unsigned long done;
	unsigned int errors; /* flushed ones do not count */
	bool stopped;
};

static const struct flow kinds[] = {
	{.name = "remote write", .opcode = IBV_WR_RDMA_WRITE, .at = 0},
	{.name = "remote read", .opcode = IBV_WR_RDMA_READ, .at = KIB(4)},
	{.name = "fetch and add", .opcode = IBV_WR_ATOMIC_FETCH_AND_ADD, .at = COUNTER_AT},
	{.name = "compare and swap", .opcode = IBV_WR_ATOMIC_CMP_AND_SWP, .at = SWAP_AT},
	{.name = "local source", .opcode = IBV_WR_RDMA_WRITE, .at = 8, .slice_is_own = true},
	{.name = "local target", .opcode = IBV_WR_RDMA_READ, .at = KIB(12), .slice_is_own = true},
};

#define FLOWS (sizeof(kinds) / sizeof(kinds[0]))

struct storm {
	struct fixture f;
	struct rdma rdma;
	struct rdma_mem mem; /* a message's length for each flow, and one more */
	struct slice view;   /* the checker's */
	struct slice beside;
	struct ibv_mr *mr_beside;
	struct flow flows[FLOWS];
	uint8_t mark[LENGTH];
	uint8_t traffic[LENGTH];
	long long longest_ms;
};

static bool is_atomic(const struct flow *flow)
{
	return flow->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ||
	       flow->opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
}

static uint8_t *host_memory(struct storm *s, size_t flow)
{
	return s->mem.at + flow * MESSAGE;
}

static void fill_patterns(struct storm *s)
{
	for (size_t i = 0; i < LENGTH; i++) {
		s->mark[i] = (uint8_t)((i * 31 + i / 256) & 0x7f);
		s->traffic[i] = s->mark[i] | 0x80;
	}
}

static void storm_open(struct storm *s)
{
	fixture_open(&s->f, NEEDS);
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	CHECK_OK(rdma_open(&s->rdma, RDMA_DEVICE, NULL));
	CHECK_OK(rdma_mem_open(&s->rdma, (FLOWS + 1) * MESSAGE, &s->mem));
	slice_open(&s->f, BASE, LENGTH, NC, &s->view);
	slice_open(&s->f, BESIDE, LENGTH, NC, &s->beside);
	CHECK_OK(peerbar_reg_mr(s->beside.buffer, s->rdma.pd, 0, LENGTH, IOVA, RDMA_ACCESS_ALL,
				&s->mr_beside));
	fill_patterns(s);
	memcpy(s->flows, kinds, sizeof(kinds));
	for (size_t i = 0; i < FLOWS; i++)
		CHECK_OK(rdma_qp_pair_open(&s->rdma, &s->flows[i].requester,
					   &s->flows[i].responder));
}

static void storm_close(struct storm *s)
{
	for (size_t i = 0; i < FLOWS; i++) {
		rdma_qp_close(&s->flows[i].requester);
		rdma_qp_close(&s->flows[i].responder);
	}
	CHECK_OK(-ibv_dereg_mr(s->mr_beside));
	slice_close(&s->beside);
	slice_close(&s->view);
	rdma_mem_close(&s->mem);
	rdma_close(&s->rdma);
	fixture_close(&s->f);
}

/*
 * The swap compares with the mark: it finds something else as long as it is
 * allowed to look, and would change the mark if it came too late.
 */
static void flow_prepare(struct storm *s, size_t index, struct ibv_mr *mr)
{
	struct flow *flow = &s->flows[index];
	uint64_t memory = (uintptr_t)host_memory(s, index);
	uint64_t slice = IOVA + flow->at;
	bool own = flow->slice_is_own;

	flow->op = (struct rdma_op){
		.opcode = flow->opcode,
		.length = is_atomic(flow) ? sizeof(uint64_t) : MESSAGE,
		.local = own ? slice : memory,
		.lkey = own ? mr->lkey : s->mem.mr->lkey,
		.remote = own ? memory : slice,
		.rkey = own ? s->mem.mr->rkey : mr->rkey,
		.add_or_compare = 1,
		.swap = ~0ULL,
	};
	if (flow->opcode == IBV_WR_ATOMIC_CMP_AND_SWP)
		memcpy(&flow->op.add_or_compare, s->mark + SWAP_AT, sizeof(uint64_t));
	memcpy((void *)(uintptr_t)memory, s->traffic, MESSAGE);
	flow->errors = 0;
	flow->stopped = false;
	atomic_store(&flow->done, 0);
}

static int expected_error(const struct flow *flow)
{
	return flow->slice_is_own ? IBV_WC_LOC_PROT_ERR : IBV_WC_REM_ACCESS_ERR;
}

/*
 * One work request says what was wrong, those behind it are flushed, and so may
 * be those in front of it that wait for an answer when the requester stops itself.
 */
static void flow_complete(struct flow *flow, int status)
{
	int error = expected_error(flow);
	bool flushed = status == IBV_WC_WR_FLUSH_ERR && (flow->errors || flow->slice_is_own);

	flow->in_flight--;
	if (!status && !flow->stopped) {
		atomic_fetch_add(&flow->done, 1);
		return;
	}
	CHECK(flushed || (status == error && !flow->errors), "%s: %s, after %u times \"%s\"",
	      flow->name, rdma_status_name(status), flow->errors, rdma_status_name(error));
	flow->errors += status == error;
	flow->stopped = true;
}

/* Takes what has completed, posts anew. True while there is more to come. */
static bool flow_step(struct flow *flow)
{
	struct ibv_wc wc;
	int found;

	while ((found = ibv_poll_cq(flow->requester.cq, 1, &wc)) > 0)
		flow_complete(flow, (int)wc.status);
	CHECK(!found, "%s: ibv_poll_cq: %d", flow->name, found);
	for (; !flow->stopped && flow->in_flight < WINDOW; flow->in_flight++)
		CHECK_OK(rdma_post(&flow->requester, &flow->op));
	CHECK(flow->in_flight || flow->errors, "%s: flushed without an error", flow->name);
	return flow->in_flight;
}

/* Keeps all flows busy until each has been stopped by its error. */
static void *traffic(void *arg)
{
	long long deadline = clock_ms() + PATIENCE_MS * tap_slowness();
	struct storm *s = arg;
	bool busy;

	do {
		busy = false;
		for (size_t i = 0; i < FLOWS; i++)
			busy |= flow_step(&s->flows[i]);
		CHECK(clock_ms() < deadline, "no error in %u s after revoke",
		      PATIENCE_MS / 1000 * tap_slowness());
		sched_yield();
	} while (busy);
	return NULL;
}

/* Every flow moves, and one of them has moved a little more in every round. */
static void wait_for_traffic(struct storm *s, unsigned long round)
{
	for (size_t i = 0; i < FLOWS; i++) {
		unsigned long enough = 1 + (round % FLOWS == i ? round / FLOWS % 4 : 0);

		while (atomic_load(&s->flows[i].done) < enough)
			sched_yield();
	}
}

static void revoke(struct storm *s, struct peerbar_buffer *buffer)
{
	long long start = clock_ms();

	CHECK_OK(peerbar_buffer_revoke(buffer));
	peerbar_copy_to(s->view.at, s->mark, LENGTH);
	peerbar_wc_flush();
	start = clock_ms() - start;
	if (start > s->longest_ms)
		s->longest_ms = start;
}

static void demand_mark(struct storm *s, unsigned long round)
{
	static uint8_t found[LENGTH];

	peerbar_copy_from(found, s->view.at, LENGTH);
	for (size_t i = 0; i < LENGTH; i++)
		CHECK(found[i] == s->mark[i],
		      "round %lu: byte %zu is %02x after revoke has returned, was %02x", round, i,
		      found[i], s->mark[i]);
}

/* Neither in what peers have read nor in what the owner has sent. */
static void demand_no_mark_seen(struct storm *s, unsigned long round)
{
	for (size_t i = 0; i < FLOWS; i++) {
		const uint8_t *memory = host_memory(s, i);

		for (size_t at = is_atomic(&s->flows[i]) ? 8 : 0; at < MESSAGE; at++)
			CHECK(memory[at] & 0x80, "round %lu: %s: the mark got out, at %zu", round,
			      s->flows[i].name, at);
	}
}

/* The queue pair works again, and so does the other region of this process. */
static void flow_recover(struct storm *s, struct flow *flow, unsigned long round)
{
	if (round % 2)
		CHECK_OK(rdma_qp_pair_reset(&flow->requester, &flow->responder));
	else
		CHECK_OK(rdma_qp_pair_remake(&flow->requester, &flow->responder));
	CHECK_WC(rdma_write(&flow->requester, &s->mem, FLOWS * MESSAGE, MESSAGE, IOVA,
			    s->mr_beside->rkey),
		 0);
}

static void demand_neighbour(struct storm *s, unsigned long round)
{
	static uint8_t found[MESSAGE];

	memset(s->mem.at + FLOWS * MESSAGE, (int)(round & 0xff), MESSAGE);
	for (size_t i = 0; i < FLOWS; i++)
		flow_recover(s, &s->flows[i], round);
	peerbar_copy_from(found, s->beside.at, MESSAGE);
	CHECK(!memcmp(found, s->mem.at + FLOWS * MESSAGE, MESSAGE), "round %lu: neighbour", round);
}

static void one_round(struct storm *s, unsigned long round)
{
	struct peerbar_buffer *buffer;
	struct ibv_mr *mr = NULL;
	pthread_t thread;

	peerbar_copy_to(s->view.at, s->traffic, LENGTH);
	peerbar_wc_flush();
	buffer = fixture_export(s->f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_OK(peerbar_reg_mr(buffer, s->rdma.pd, 0, LENGTH, IOVA, RDMA_ACCESS_ALL, &mr));
	for (size_t i = 0; i < FLOWS; i++)
		flow_prepare(s, i, mr);
	CHECK(!pthread_create(&thread, NULL, traffic, s), "pthread_create");
	wait_for_traffic(s, round);
	revoke(s, buffer);
	pthread_join(thread, NULL);
	demand_neighbour(s, round);
	demand_mark(s, round);
	demand_no_mark_seen(s, round);
	CHECK_OK(-ibv_dereg_mr(mr));
	peerbar_buffer_close(buffer);
}

/* Writes, reads and atomics, by the peer and by the owner, all stopped at once. */
static void every_kind_of_traffic(void)
{
	unsigned long rounds = tap_rounds(ROUNDS, SOAK);
	static struct storm s;

	storm_open(&s);
	for (unsigned long i = 0; i < rounds; i++)
		one_round(&s, i);
	tap_diag("%lu rounds, the longest revoke took %lld ms", rounds, s.longest_ms);
	CHECK(s.longest_ms < REVOKE_MS * tap_slowness(), "revoke is not bounded");
	storm_close(&s);
}

static const struct tap_case cases[] = {
	{"every_kind_of_traffic", every_kind_of_traffic, 600},
};

TAP_MAIN(cases)
