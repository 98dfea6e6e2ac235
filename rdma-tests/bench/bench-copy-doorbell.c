// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The instructions that a 64-byte doorbell takes, its fences included, as the
 * processor executes them: a debugger's single steps, counted. Runs on any
 * machine, and says what the one has that it runs on.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <peerbar/mmio.h>

#include "measure.h"
#include "tap.h"

static volatile char doorbell[64] __attribute__((aligned(64)));
static char descriptor[64] __attribute__((aligned(64)));

static inline __attribute__((always_inline)) void push(volatile void *to, const void *from)
{
	peerbar_wc_start();
	peerbar_wc_push64(to, from);
	peerbar_wc_flush();
}

/* The widest that every x86-64 has. */
static inline __attribute__((always_inline)) void four_stores(volatile void *to, const void *from)
{
	peerbar_wc_start();
#if defined(__x86_64__)
	volatile __m128i *dst = to;
	const __m128i *src = from;

	dst[0] = _mm_loadu_si128(src);
	dst[1] = _mm_loadu_si128(src + 1);
	dst[2] = _mm_loadu_si128(src + 2);
	dst[3] = _mm_loadu_si128(src + 3);
#else
	typedef uint64_t vec __attribute__((vector_size(16)));
	volatile vec *dst = to;
	const vec *src = from;

	for (int i = 0; i < 4; i++)
		dst[i] = src[i];
#endif
	peerbar_wc_flush();
}

/*
 * Inlined once, and twice: the difference is what one more of them takes, free
 * of what the function around it does.
 */
#define RINGS(way)                                                                             \
	static __attribute__((noinline)) void way##_once(volatile void *to, const void *from)  \
	{                                                                                      \
		way(to, from);                                                                 \
	}                                                                                      \
	static __attribute__((noinline)) void way##_twice(volatile void *to, const void *from) \
	{                                                                                      \
		way(to, from);                                                                 \
		way(to, from);                                                                 \
	}

RINGS(push)
RINGS(four_stores)

typedef void (*ring_fn)(volatile void *to, const void *from);

struct way {
	ring_fn once, twice;
};

static void stepped_process(ring_fn ring)
{
	ring(doorbell, descriptor); /* whatever is found out once only */
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	ring(doorbell, descriptor);
	raise(SIGSTOP);
	_exit(0);
}

/* From one stop to the other. */
static double count_steps(ring_fn ring)
{
	pid_t child = fork();
	double steps = 0;
	int status;

	CHECK(child >= 0, "fork: %s", strerror(errno));
	if (!child)
		stepped_process(ring);
	CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "no stop: %#x", status);
	do {
		CHECK_SYS(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "status %#x",
		      status);
		steps++;
	} while (WSTOPSIG(status) == SIGTRAP);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return steps;
}

static double sample(void *arg)
{
	const struct way *way = arg;

	return count_steps(way->twice) - count_steps(way->once);
}

static const char *how_it_is_done(void)
{
#if defined(__x86_64__)
	return peerbar_cpu_() & PEERBAR_CPU_MOVDIR64B_ ? "with MOVDIR64B" : "without MOVDIR64B";
#else
	return "by stores";
#endif
}

int main(int argc, char **argv)
{
	const struct measure_point point = {"doorbell", how_it_is_done(), 64, "instructions"};
	struct way stores = {four_stores_once, four_stores_twice};
	struct way library = {push_once, push_twice};
	const struct measure_side sides[] = {
		{"four-stores", sample, &stores},
		{"peerbar", sample, &library},
	};

	measure(&point, sides, 2, measure_begin(argc, argv));
	return 0;
}
