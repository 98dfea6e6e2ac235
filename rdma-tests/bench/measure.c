// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "fixture.h"
#include "measure.h"

static void read_cpu_model(char *model, size_t size)
{
	FILE *info = fopen("/proc/cpuinfo", "re");
	char line[256];
	char *value;

	snprintf(model, size, "unknown");
	while (info && fgets(line, sizeof(line), info)) {
		value = strstr(line, ": ");
		if (strncmp(line, "model name", 10) || !value)
			continue;
		value[strcspn(value, "\"\\\n")] = '\0';
		snprintf(model, size, "%s", value + 2);
		break;
	}
	if (info)
		fclose(info);
}

static void print_machine(void)
{
	struct utsname names;
	char model[128];

	read_cpu_model(model, sizeof(model));
	CHECK_SYS(uname(&names), 0);
	printf("{\"machine\": {\"cpu\": \"%s\", \"kernel\": \"%s\"}}\n", model, names.release);
}

unsigned int measure_begin(int argc, char **argv)
{
	unsigned long rounds = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

	CHECK(rounds && rounds < 100000, "usage: %s ROUNDS", argv[0]);
	print_machine();
	return (unsigned int)rounds;
}

static void print_side(const struct measure_point *point, const char *side, const double *samples,
		       unsigned int rounds)
{
	printf("{\"figure\": \"%s\", \"operation\": \"%s\", \"size\": %llu, \"unit\": \"%s\", \"side\": \"%s\", \"samples\": [",
	       point->figure, point->operation, (unsigned long long)point->size, point->unit, side);
	for (unsigned int i = 0; i < rounds; i++)
		printf("%s%.9g", i ? ", " : "", samples[i]);
	puts("]}");
	fflush(stdout);
}

static void take_round(const struct measure_side *sides, size_t count, unsigned int round,
		       double *taken)
{
	for (size_t i = 0; i < count; i++) {
		size_t which = round % 2 ? count - 1 - i : i;

		taken[which] = sides[which].sample(sides[which].arg);
	}
}

void measure(const struct measure_point *point, const struct measure_side *sides, size_t count,
	     unsigned int rounds)
{
	double *samples = calloc(count * rounds, sizeof(*samples));
	double taken[MEASURE_SIDES_MAX];

	CHECK(samples && count <= MEASURE_SIDES_MAX, "out of memory");
	take_round(sides, count, 0, taken);
	for (unsigned int round = 0; round < rounds; round++) {
		take_round(sides, count, round, taken);
		for (size_t i = 0; i < count; i++)
			samples[i * rounds + round] = taken[i];
	}
	for (size_t i = 0; i < count; i++)
		print_side(point, sides[i].name, samples + i * rounds, rounds);
	free(samples);
}

double measure_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}
