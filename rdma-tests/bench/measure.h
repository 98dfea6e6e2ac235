/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Samples of several ways to do one thing, taken in turn, and printed for
 * scripts/bench: a line of JSON per way. What fails ends the program with a
 * message, by CHECK() and FAIL() of the guest tests.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#define MEASURE_SIDES_MAX 8

/* One way to do it. */
struct measure_side {
	const char *name;
	/* Does it once, and returns how much it took. */
	double (*sample)(void *arg);
	void *arg;
};

/* What is measured: a figure, at one of its points. */
struct measure_point {
	const char *figure;
	const char *operation;
	uint64_t size; /* bytes, or how many */
	const char *unit;
};

/* The rounds that the command line asks for; also says what machine this is. */
unsigned int measure_begin(int argc, char **argv);

/*
 * A sample of each side per round. Every other round goes backwards, so that
 * no side is always the one that comes after another. A round before the first
 * one warms up and is not reported.
 */
void measure(const struct measure_point *point, const struct measure_side *sides, size_t count,
	     unsigned int rounds);

/* In nanoseconds, of a clock that nobody adjusts. */
double measure_now(void);

#endif /* BENCH_MEASURE_H */
