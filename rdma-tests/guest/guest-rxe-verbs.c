// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory regions over a slice in every kind of work request: scattered, inline,
 * on unreliable queue pairs, from shared receive queues, with small packets.
 * What lands is compared byte by byte, what the completion says word by word.
 */
#include <arpa/inet.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "loopback.h"
#include "work.h"

#define BASE	  MIB(1)
#define AREA	  KIB(256)
#define IOVA	  0x7000000000ULL
#define NEEDS	  (FIXTURE_MEM | NEED_SERIES)
#define GRH	  40
#define UNTOUCHED 0xee
#define MANY	  16

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
	struct ibv_mr *mr;
	struct rdma_qp a; /* has the work done */
	struct rdma_qp b;
	uint64_t host; /* address of the host memory */
};

static void bench_open(struct bench *b, enum peerbar_memattr memattr)
{
	memset(b, 0, sizeof(*b));
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, AREA);
	slice_open(&b->f, BASE, AREA, memattr, &b->slice);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, AREA, IOVA);
	b->host = (uintptr_t)b->l.mem.at;
}

static void bench_connect(struct bench *b, const struct rdma_qp_options *options)
{
	CHECK_OK(rdma_qp_pair_open_as(&b->l.rdma, options, &b->a, &b->b));
}

static void bench_disconnect(struct bench *b)
{
	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
}

static void bench_close(struct bench *b)
{
	bench_disconnect(b);
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

static struct ibv_sge in_slice(struct bench *b, uint64_t offset, uint32_t length)
{
	return work_piece(b->mr, IOVA + offset, length);
}

static struct ibv_sge in_host(struct bench *b, uint64_t offset, uint32_t length)
{
	return work_piece(b->l.mem.mr, b->host + offset, length);
}

/* Where a piece is, for the CPU. */
static volatile uint8_t *at(struct bench *b, const struct ibv_sge *piece)
{
	if (piece->lkey == b->mr->lkey)
		return b->slice.at + (piece->addr - IOVA);
	return b->l.mem.at + (piece->addr - b->host);
}

/* One message over all the pieces, written or compared; of seed. */
static void message_fill(struct bench *b, const struct ibv_sge *pieces, int count, uint32_t seed)
{
	static uint8_t whole[AREA];
	size_t done = 0;

	pattern_fill(whole, sizeof(whole), seed);
	for (int i = 0; i < count; i++) {
		peerbar_copy_to(at(b, &pieces[i]), whole + done, pieces[i].length);
		done += pieces[i].length;
	}
	peerbar_wc_flush();
}

static void demand_message(struct bench *b, const struct ibv_sge *pieces, int count, size_t length,
			   uint32_t seed)
{
	static uint8_t whole[AREA];
	size_t done = 0;

	for (int i = 0; i < count && done < length; i++) {
		size_t left = length - done;
		size_t step = pieces[i].length < left ? pieces[i].length : left;

		peerbar_copy_from(whole + done, at(b, &pieces[i]), step);
		done += step;
	}
	CHECK(done == length, "the pieces hold %zu bytes only", done);
	CHECK(pattern_matches(whole, length, seed), "the message");
}

static void blank(struct bench *b)
{
	static uint8_t nothing[AREA];

	memset(nothing, UNTOUCHED, sizeof(nothing));
	memcpy(b->l.mem.at, nothing, AREA);
	peerbar_copy_to(b->slice.at, nothing, AREA);
	peerbar_wc_flush();
}

static void demand_untouched(struct bench *b, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		CHECK(peerbar_read8(b->slice.at + i) == UNTOUCHED, "byte %llu of the slice changed",
		      (unsigned long long)i);
}

/*
 * A send gathered from device and host memory by turns, an empty piece among
 * them, and scattered over other such pieces with other borders.
 */
static void scattered_send(void)
{
	const struct rdma_qp_options options = {.pieces = 6};
	const uint32_t length = 1 + 4095 + 8191 + 777;
	struct bench b;

	bench_open(&b, WC);
	bench_connect(&b, &options);
	struct ibv_sge out[] = {
		in_slice(&b, 3, 1),
		in_host(&b, KIB(8) + 1, 4095),
		in_slice(&b, KIB(4), 0),
		in_slice(&b, KIB(16) + 5, 8191),
		in_host(&b, KIB(64) + 2, 777),
	};
	struct ibv_sge in[] = {
		in_host(&b, KIB(128), 5000),	    in_slice(&b, KIB(128) + 7, 3),
		in_slice(&b, KIB(160) + 1, 8000),   in_host(&b, KIB(192) + 3, 60),
		in_slice(&b, KIB(192) + 4093, 500),
	};
	blank(&b);
	message_fill(&b, PIECES(out), 1);
	work_receive(&b.b, PIECES(in));
	work_post(&b.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, PIECES(out));
	work_done(&b.a, IBV_WC_SEND, length);
	work_done(&b.b, IBV_WC_RECV, length);
	demand_message(&b, PIECES(in), length, 1);
	demand_untouched(&b, KIB(160), KIB(160) + 1);
	demand_untouched(&b, KIB(192) + 4093 + 1, AREA);
	bench_close(&b);
}

/* An RDMA write that is gathered, an RDMA read that is scattered. */
static void scattered_rdma(void)
{
	const struct rdma_qp_options options = {.pieces = 4};
	const uint32_t length = 13 + 5001 + 9000;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, &options);
	struct ibv_sge out[] = {in_host(&b, 1, 13), in_slice(&b, 4090, 5001),
				in_host(&b, 99, 9000)};
	struct ibv_sge far = in_slice(&b, KIB(64) + 3, length);
	struct ibv_sge back[] = {in_slice(&b, KIB(128) + 1, 4097), in_host(&b, KIB(128), 1),
				 in_slice(&b, KIB(160), length - 4098)};

	blank(&b);
	message_fill(&b, PIECES(out), 2);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE, far.addr, b.mr->rkey), PIECES(out));
	work_done(&b.a, IBV_WC_RDMA_WRITE, length);
	demand_message(&b, &far, 1, length, 2);
	demand_untouched(&b, KIB(64), KIB(64) + 3);
	demand_untouched(&b, KIB(64) + 3 + length, KIB(128) + 1);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_READ, far.addr, b.mr->rkey), PIECES(back));
	work_done(&b.a, IBV_WC_RDMA_READ, length);
	demand_message(&b, PIECES(back), length, 2);
	demand_untouched(&b, KIB(160) + length - 4098, AREA);
	bench_close(&b);
}

/* There and back, at an odd place, in packets of this size. */
static void small_packets(struct bench *b, enum ibv_mtu mtu, uint32_t length)
{
	const struct rdma_qp_options options = {.mtu = mtu};
	struct ibv_sge out = in_slice(b, 5, length), in = in_slice(b, KIB(64) + 251, length);
	struct ibv_sge back = in_slice(b, KIB(128) + 1, length);

	bench_connect(b, &options);
	blank(b);
	message_fill(b, &out, 1, length);
	work_receive(&b->b, &in, 1);
	work_post(&b->a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &out, 1);
	work_done(&b->a, IBV_WC_SEND, length);
	work_done(&b->b, IBV_WC_RECV, length);
	demand_message(b, &in, 1, length, length);
	work_post(&b->a, work_rdma(IBV_WR_RDMA_READ, in.addr, b->mr->rkey), &back, 1);
	work_done(&b->a, IBV_WC_RDMA_READ, length);
	demand_message(b, &back, 1, length, length);
	message_fill(b, &out, 1, length + 1);
	work_post(&b->a, work_rdma(IBV_WR_RDMA_WRITE, in.addr, b->mr->rkey), &out, 1);
	work_done(&b->a, IBV_WC_RDMA_WRITE, length);
	demand_message(b, &in, 1, length, length + 1);
	demand_untouched(b, KIB(64), KIB(64) + 251);
	demand_untouched(b, KIB(64) + 251 + length, KIB(128) + 1);
	demand_untouched(b, KIB(128) + 1 + length, AREA);
	bench_disconnect(b);
}

/* Each packet size, one byte less than some packets, just so many, one more. */
static void packet_sizes(void)
{
	static const struct {
		enum ibv_mtu mtu;
		uint32_t bytes;
	} sizes[] = {{IBV_MTU_256, 256},
		     {IBV_MTU_512, 512},
		     {IBV_MTU_1024, 1024},
		     {IBV_MTU_2048, 2048},
		     {IBV_MTU_4096, 4096}};
	struct bench b;

	bench_open(&b, NC);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (int more = -1; more <= 1; more++) {
			small_packets(&b, sizes[i].mtu, sizes[i].bytes + (uint32_t)more);
			small_packets(&b, sizes[i].mtu, 3 * sizes[i].bytes + (uint32_t)more);
		}
	bench_close(&b);
}

/* A message of no bytes takes a receive request and touches nothing. */
static void empty_messages(void)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND_WITH_IMM, .imm_data = htonl(7)};
	struct ibv_wc wc;
	struct ibv_sge in;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, &(struct rdma_qp_options){0});
	blank(&b);
	in = in_slice(&b, 1, 100);
	work_receive(&b.b, &in, 1);
	work_post(&b.a, wr, NULL, 0);
	work_done(&b.a, IBV_WC_SEND, 0);
	wc = work_done(&b.b, IBV_WC_RECV, 0);
	CHECK(wc.wc_flags & IBV_WC_WITH_IMM && ntohl(wc.imm_data) == 7, "immediate");
	work_receive(&b.b, &in, 1);
	wr = work_rdma(IBV_WR_RDMA_WRITE_WITH_IMM, IOVA, b.mr->rkey);
	wr.imm_data = htonl(8);
	work_post(&b.a, wr, NULL, 0);
	work_done(&b.a, IBV_WC_RDMA_WRITE, 0);
	wc = work_done(&b.b, IBV_WC_RECV_RDMA_WITH_IMM, 0);
	CHECK(wc.wc_flags & IBV_WC_WITH_IMM && ntohl(wc.imm_data) == 8, "immediate");
	demand_untouched(&b, 0, AREA);
	bench_close(&b);
}

/* A write with immediate data says how much has been written, and where not. */
static void write_with_immediate(const struct rdma_qp_options *options)
{
	const uint32_t length = 12345;
	struct ibv_sge out, far;
	struct ibv_send_wr wr;
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, options);
	blank(&b);
	out = in_slice(&b, KIB(64) + 9, length);
	far = in_slice(&b, 2, length);
	message_fill(&b, &out, 1, 3);
	work_receive(&b.b, NULL, 0);
	wr = work_rdma(IBV_WR_RDMA_WRITE_WITH_IMM, far.addr, b.mr->rkey);
	wr.imm_data = htonl(0xabcd);
	work_post(&b.a, wr, &out, 1);
	work_done(&b.a, IBV_WC_RDMA_WRITE, length);
	wc = work_done(&b.b, IBV_WC_RECV_RDMA_WITH_IMM, length);
	CHECK(wc.wc_flags & IBV_WC_WITH_IMM && ntohl(wc.imm_data) == 0xabcd, "immediate");
	demand_message(&b, &far, 1, length, 3);
	demand_untouched(&b, 0, 2);
	demand_untouched(&b, 2 + length, KIB(64));
	bench_close(&b);
}

static void immediate_reliable(void)
{
	write_with_immediate(&(struct rdma_qp_options){0});
}

static void immediate_unreliable(void)
{
	write_with_immediate(&(struct rdma_qp_options){.type = IBV_QPT_UC});
}

/* UC: sends and writes, of several packets, from device memory to it. */
static void unreliable_connection(void)
{
	const struct rdma_qp_options options = {.type = IBV_QPT_UC, .pieces = 2};
	const uint32_t length = 20001;
	struct bench b;

	bench_open(&b, WC);
	bench_connect(&b, &options);
	struct ibv_sge out[] = {in_slice(&b, 1, 10001), in_host(&b, 5, 10000)};
	struct ibv_sge in[] = {in_host(&b, KIB(64), 77), in_slice(&b, KIB(64) + 13, 30000)};
	struct ibv_sge far = in_slice(&b, KIB(128) + 3, length);

	blank(&b);
	message_fill(&b, PIECES(out), 4);
	work_receive(&b.b, PIECES(in));
	work_post(&b.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, PIECES(out));
	work_done(&b.a, IBV_WC_SEND, length);
	work_done(&b.b, IBV_WC_RECV, length);
	demand_message(&b, PIECES(in), length, 4);
	/* Nothing says when a write has arrived: what is sent after it does. */
	work_receive(&b.b, NULL, 0);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE, far.addr, b.mr->rkey), PIECES(out));
	work_post(&b.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, NULL, 0);
	work_done(&b.a, IBV_WC_RDMA_WRITE, length);
	work_done(&b.a, IBV_WC_SEND, 0);
	work_done(&b.b, IBV_WC_RECV, 0);
	demand_message(&b, &far, 1, length, 4);
	demand_untouched(&b, KIB(128) + 3 + length, AREA);
	bench_close(&b);
}

static struct ibv_send_wr datagram(struct bench *b, struct ibv_ah *ah)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND_WITH_IMM, .imm_data = htonl(0x5555)};

	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = b->b.qp->qp_num;
	wr.wr.ud.remote_qkey = RDMA_QKEY;
	return wr;
}

/* Before the data, 40 bytes tell where it came from: over IPv4, in the latter 20. */
static void demand_grh(struct bench *b, uint64_t offset)
{
	uint8_t grh[GRH];

	peerbar_copy_from(grh, b->slice.at + offset, GRH);
	CHECK(grh[20] == 0x45, "no IPv4 header: %02x", grh[20]);
	CHECK(!memcmp(grh + 36, b->l.rdma.gid.raw + 12, 4), "destination address");
}

/* A datagram from device memory into it, header included. */
static void datagram_of(struct bench *b, struct ibv_ah *ah, uint32_t length)
{
	struct ibv_sge out = in_slice(b, 7, length);
	struct ibv_sge in[] = {in_slice(b, KIB(64) + 11, GRH), in_host(b, 1, 20),
			       in_slice(b, KIB(128) + 1, 5000)};
	struct ibv_wc wc;

	blank(b);
	message_fill(b, &out, length ? 1 : 0, length);
	work_receive(&b->b, PIECES(in));
	work_post(&b->a, datagram(b, ah), &out, length ? 1 : 0);
	work_done(&b->a, IBV_WC_SEND, length);
	wc = work_done(&b->b, IBV_WC_RECV, length + GRH);
	CHECK(wc.wc_flags == (IBV_WC_GRH | IBV_WC_WITH_IMM), "flags %x", wc.wc_flags);
	CHECK(ntohl(wc.imm_data) == 0x5555, "immediate");
	CHECK(wc.src_qp == b->a.qp->qp_num, "from %x", wc.src_qp);
	demand_grh(b, KIB(64) + 11);
	demand_message(b, in + 1, 2, length, length);
	demand_untouched(b, KIB(64), KIB(64) + 11);
	demand_untouched(b, KIB(64) + 11 + GRH, KIB(128) + 1);
	demand_untouched(b, KIB(128) + 1 + (length > 20 ? length - 20 : 0), AREA);
}

/* UD: datagrams of no, of one, of odd and of most bytes. */
static void datagrams(void)
{
	static const uint32_t lengths[] = {0, 1, 19, 20, 21, 1023, 4095, 4096};
	const struct rdma_qp_options options = {.type = IBV_QPT_UD, .pieces = 3};
	struct ibv_ah *ah;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, &options);
	ah = work_own_address(&b.l.rdma);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		datagram_of(&b, ah, lengths[i]);
	CHECK_OK(-ibv_destroy_ah(ah));
	bench_close(&b);
}

/* A datagram that does not fit is dropped: nothing is written, not in part. */
static void datagram_too_long(void)
{
	const struct rdma_qp_options options = {.type = IBV_QPT_UD};
	struct ibv_sge out, in;
	struct ibv_ah *ah;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, &options);
	ah = work_own_address(&b.l.rdma);
	blank(&b);
	out = in_host(&b, 0, 101);
	in = in_slice(&b, 64, GRH + 100);
	work_receive(&b.b, &in, 1);
	work_post(&b.a, datagram(&b, ah), &out, 1);
	work_done(&b.a, IBV_WC_SEND, 101);
	/* The request is still there for the next one, which fits. */
	out.length = 100;
	message_fill(&b, &out, 1, 6);
	work_post(&b.a, datagram(&b, ah), &out, 1);
	work_done(&b.a, IBV_WC_SEND, 100);
	work_done(&b.b, IBV_WC_RECV, GRH + 100);
	in = in_slice(&b, 64 + GRH, 100);
	demand_message(&b, &in, 1, 100, 6);
	demand_untouched(&b, 64 + GRH + 100, AREA);
	CHECK_OK(-ibv_destroy_ah(ah));
	bench_close(&b);
}

static struct ibv_srq *make_srq(struct bench *b)
{
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = MANY, .max_sge = 2}};
	struct ibv_srq *srq = ibv_create_srq(b->l.rdma.pd, &attr);

	CHECK(srq, "ibv_create_srq: %s", strerror(errno));
	return srq;
}

/* Receive requests over a slice, each taken by whichever message comes. */
static void shared_receive_queue(void)
{
	struct rdma_qp_options options = {0};
	const uint32_t length = 9001;
	struct rdma_qp c, d;
	struct bench b;

	bench_open(&b, NC);
	options.srq = make_srq(&b);
	bench_connect(&b, &options);
	CHECK_OK(rdma_qp_pair_open_as(&b.l.rdma, &options, &c, &d));
	blank(&b);
	struct ibv_sge in[] = {in_slice(&b, KIB(64) + 1, 5000), in_slice(&b, KIB(96) + 3, 5000)};
	struct ibv_sge second[] = {in_slice(&b, KIB(128), 8192), in_host(&b, KIB(128), 2000)};
	struct ibv_sge out = in_slice(&b, 5, length);

	work_receive(&b.b, PIECES(in));
	work_receive(&d, PIECES(second));
	message_fill(&b, &out, 1, 7);
	work_post(&c, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &out, 1);
	work_done(&c, IBV_WC_SEND, length);
	work_done(&d, IBV_WC_RECV, length);
	demand_message(&b, PIECES(in), length, 7);
	message_fill(&b, &out, 1, 8);
	work_post(&b.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &out, 1);
	work_done(&b.a, IBV_WC_SEND, length);
	work_done(&b.b, IBV_WC_RECV, length);
	demand_message(&b, PIECES(second), length, 8);
	demand_untouched(&b, KIB(96) + 3 + length - 5000, KIB(128));
	rdma_qp_close(&c);
	rdma_qp_close(&d);
	bench_disconnect(&b);
	CHECK_OK(-ibv_destroy_srq(options.srq));
	bench_close(&b);
}

/* The same for datagrams. */
static void shared_receive_queue_datagrams(void)
{
	struct rdma_qp_options options = {.type = IBV_QPT_UD, .pieces = 3};
	struct ibv_sge in, out;
	struct ibv_ah *ah;
	struct bench b;

	bench_open(&b, NC);
	ah = work_own_address(&b.l.rdma);
	options.srq = make_srq(&b);
	bench_connect(&b, &options);
	blank(&b);
	in = in_slice(&b, KIB(64) + 3, 3000);
	out = in_slice(&b, 1, 2049);
	message_fill(&b, &out, 1, 9);
	work_receive(&b.b, &in, 1);
	work_post(&b.a, datagram(&b, ah), &out, 1);
	work_done(&b.a, IBV_WC_SEND, 2049);
	work_done(&b.b, IBV_WC_RECV, GRH + 2049);
	demand_grh(&b, KIB(64) + 3);
	in = in_slice(&b, KIB(64) + 3 + GRH, 2049);
	demand_message(&b, &in, 1, 2049, 9);
	demand_untouched(&b, KIB(64) + 3 + GRH + 2049, AREA);
	bench_disconnect(&b);
	CHECK_OK(-ibv_destroy_srq(options.srq));
	CHECK_OK(-ibv_destroy_ah(ah));
	bench_close(&b);
}

/*
 * Inline data is read by the CPU when it is posted, so it may come from a
 * mapping of device memory, with no region; and it goes into one.
 */
static void inline_data(void)
{
	const struct rdma_qp_options options = {.inline_length = 200};
	struct ibv_send_wr wr;
	struct ibv_sge out, in, far;
	struct bench b;

	bench_open(&b, NC);
	bench_connect(&b, &options);
	blank(&b);
	pattern_fill(b.slice.at + 3, 199, 10);
	out = (struct ibv_sge){.addr = (uintptr_t)b.slice.at + 3, .length = 199};
	far = in_slice(&b, 4093, 199);
	wr = work_rdma(IBV_WR_RDMA_WRITE, far.addr, b.mr->rkey);
	wr.send_flags = IBV_SEND_INLINE;
	work_post(&b.a, wr, &out, 1);
	work_done(&b.a, IBV_WC_RDMA_WRITE, 199);
	demand_message(&b, &far, 1, 199, 10);
	in = in_slice(&b, KIB(64) + 1, 300);
	work_receive(&b.b, &in, 1);
	wr = (struct ibv_send_wr){.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_INLINE};
	work_post(&b.a, wr, &out, 1);
	work_done(&b.a, IBV_WC_SEND, 199);
	work_done(&b.b, IBV_WC_RECV, 199);
	demand_message(&b, &in, 1, 199, 10);
	demand_untouched(&b, 4093 + 199, KIB(64) + 1);
	demand_untouched(&b, KIB(64) + 1 + 199, AREA);
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"scattered_send", scattered_send},
	{"scattered_rdma", scattered_rdma},
	{"packet_sizes", packet_sizes, 180},
	{"empty_messages", empty_messages},
	{"immediate_reliable", immediate_reliable},
	{"immediate_unreliable", immediate_unreliable},
	{"unreliable_connection", unreliable_connection},
	{"datagrams", datagrams, 120},
	{"datagram_too_long", datagram_too_long},
	{"shared_receive_queue", shared_receive_queue},
	{"shared_receive_queue_datagrams", shared_receive_queue_datagrams},
	{"inline_data", inline_data},
};

TAP_MAIN(cases)
