// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fixture.h"
#include "stream.h"

#define WAIT_MS 60000
/* Where the one inherited descriptor goes. */
#define OWN_FD 3

struct writer {
	struct rdma rdma;
	struct rdma_qp requester;
	struct rdma_qp responder;
	struct rdma_mem mem;
	struct ibv_mr *mr;
};

/* Nothing that the parent closes may live on in here. */
static void keep_descriptor(int fd)
{
	CHECK_SYS(dup2(fd, OWN_FD), 0);
	CHECK_SYS(syscall(SYS_close_range, OWN_FD + 1, ~0U, 0), 0);
}

static void writer_open(struct writer *w, const struct stream_options *options)
{
	CHECK_OK(rdma_open(&w->rdma, options->device, options->ipv4));
	CHECK_OK(rdma_qp_pair_open(&w->rdma, &w->requester, &w->responder));
	CHECK_OK(rdma_mem_open(&w->rdma, STREAM_LENGTH, &w->mem));
	memset(w->mem.at, STREAM_BYTE, STREAM_LENGTH);
	w->mr = ibv_reg_dmabuf_mr(w->rdma.pd, 0, STREAM_LENGTH, STREAM_IOVA, OWN_FD,
				  RDMA_ACCESS_ALL);
	CHECK(w->mr, "ibv_reg_dmabuf_mr: %s", strerror(errno));
	close(OWN_FD);
}

/* The device may be gone by now: what it says is of no interest. */
static void writer_close(struct writer *w)
{
	ibv_dereg_mr(w->mr);
	rdma_qp_close(&w->requester);
	rdma_qp_close(&w->responder);
	rdma_mem_close(&w->mem);
	rdma_close(&w->rdma);
}

static int write_once(struct stream *s, struct writer *w)
{
	const struct rdma_op op = {
		.opcode = IBV_WR_RDMA_WRITE,
		.local = (uintptr_t)w->mem.at,
		.lkey = w->mem.mr->lkey,
		.length = STREAM_LENGTH,
		.remote = STREAM_IOVA,
		.rkey = w->mr->rkey,
	};
	struct ibv_wc wc;
	int found, ret = rdma_post(&w->requester, &op);

	if (ret)
		return ret;
	while (!(found = ibv_poll_cq(w->requester.cq, 1, &wc))) {
		if (atomic_load(&s->told_to_stop))
			return -ECANCELED;
		sched_yield();
	}
	return found < 0 ? -EIO : (int)wc.status;
}

static int write_on(struct stream *s, struct writer *w)
{
	int status;

	while (!(status = write_once(s, w))) {
		if (atomic_fetch_add(&s->done, 1) == 0 && s->options.leave)
			s->options.leave();
	}
	return status;
}

static void stream_process(void *arg)
{
	struct stream *s = arg;
	struct writer w;

	keep_descriptor(s->options.dmabuf);
	if (s->options.enter)
		s->options.enter();
	writer_open(&w, &s->options);
	s->status = write_on(s, &w);
	atomic_store(&s->ended, 1);
	while (!atomic_load(&s->told_to_exit))
		clock_pause();
	writer_close(&w);
}

struct stream *stream_start(const struct stream_options *options)
{
	struct stream *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(s != MAP_FAILED, "mmap: %s", strerror(errno));
	s->options = *options;
	s->process = tap_fork(stream_process, s);
	stream_wait_for(s, 1);
	return s;
}

/* The process must not have ended by itself meanwhile. */
static void demand_running(struct stream *s)
{
	if (waitpid(s->process, NULL, WNOHANG) == s->process)
		FAIL("%s: the process that writes has ended", s->options.device);
}

void stream_wait_for(struct stream *s, unsigned long more)
{
	long long deadline = clock_ms() + WAIT_MS * tap_slowness();
	unsigned long enough = atomic_load(&s->done) + more;

	while (atomic_load(&s->done) < enough) {
		demand_running(s);
		CHECK(!atomic_load(&s->ended), "the stream has ended: %s",
		      rdma_status_name(s->status));
		CHECK(clock_ms() < deadline, "no write completes");
		clock_pause();
	}
}

void stream_stop(struct stream *s)
{
	atomic_store(&s->told_to_stop, 1);
}

int stream_status(struct stream *s)
{
	long long deadline = clock_ms() + WAIT_MS * tap_slowness();

	while (!atomic_load(&s->ended)) {
		demand_running(s);
		CHECK(clock_ms() < deadline, "the writes don't end");
		clock_pause();
	}
	return s->status;
}

static void stream_free(struct stream *s)
{
	munmap(s, sizeof(*s));
}

void stream_exit(struct stream *s)
{
	stream_stop(s);
	atomic_store(&s->told_to_exit, 1);
	tap_join(s->process);
	stream_free(s);
}

void stream_kill(struct stream *s)
{
	int status;

	kill(s->process, SIGKILL);
	CHECK(waitpid(s->process, &status, 0) == s->process && WIFSIGNALED(status), "status %#x",
	      status);
	stream_free(s);
}
