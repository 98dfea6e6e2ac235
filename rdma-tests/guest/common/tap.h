/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A small TAP emitter. Every case runs in a process group of its own, under a
 * deadline, and is checked for leaks: descriptors and mappings inside the
 * process, dma-bufs in the whole system once it is gone.
 */
#ifndef GUEST_COMMON_TAP_H
#define GUEST_COMMON_TAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tap_case {
	const char *name;
	void (*run)(void);
	unsigned int timeout_s; /* on the fast kernel; 0: 60 */
};

/* Runs the cases named on the command line, or all; "--list" lists them. */
int tap_run(int argc, char **argv, const struct tap_case *cases, size_t count);

/* How much slower than the fast kernel this one may be. */
unsigned int tap_slowness(void);

/*
 * How long to look for what takes luck to be found: a little, fewer rounds on
 * the debug kernel, or very long when the program was built as guest-soak-*.
 * PEERBAR_ROUNDS and PEERBAR_SECONDS, if set, overrule all of that.
 */
bool tap_is_soak(void);
unsigned long tap_rounds(unsigned long normal, unsigned long soak);
long long tap_moment_ms(long long normal, long long soak);

/* One line of diagnosis. */
void tap_diag(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Both end the case (or the helper process) at once. */
void tap_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * Runs fn(arg) in a child process; it passes by returning. tap_join() demands
 * that it passed, and waits for it no longer than the case's own deadline.
 */
pid_t tap_fork(void (*fn)(void *arg), void *arg);
void tap_join_at(const char *file, int line, pid_t child);
#define tap_join(child) tap_join_at(__FILE__, __LINE__, child)

/* For cases that must leave something open: makes now the state to compare. */
void tap_leak_baseline(void);

#define TAP_MAIN(cases)                                                                \
	int main(int argc, char **argv)                                                \
	{                                                                              \
		return tap_run(argc, argv, cases, sizeof(cases) / sizeof((cases)[0])); \
	}

#define FAIL(...) tap_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition, ...)              \
	do {                               \
		if (!(condition))          \
			FAIL(__VA_ARGS__); \
	} while (0)

/* What comes true by itself, within so many milliseconds. Needs clock.h. */
#define AWAIT(condition, ms, ...)                                   \
	do {                                                        \
		long long deadline_ = clock_ms() + (ms);            \
		while (!(condition)) {                              \
			CHECK(clock_ms() < deadline_, __VA_ARGS__); \
			clock_pause();                              \
		}                                                   \
	} while (0)

/* For what returns 0 or a negative errno. */
#define CHECK_OK(expression) CHECK_RET(expression, 0)
#define CHECK_RET(expression, wanted) \
	tap_check_ret(__FILE__, __LINE__, #expression, expression, wanted)

/* For what returns -1 and sets errno: an errno, or 0 for success. */
#define CHECK_SYS(expression, wanted)                                                         \
	tap_check_ret(__FILE__, __LINE__, #expression, (long)(expression) == -1 ? -errno : 0, \
		      -(wanted))

void tap_check_ret(const char *file, int line, const char *what, int got, int wanted);

#endif /* GUEST_COMMON_TAP_H */
