/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the demo tells: for a person as it goes, or as JSON for a program. */
#ifndef DEMO_STORY_H
#define DEMO_STORY_H

#include <stdbool.h>

#define STORY_PRINTF(string, args) __attribute__((format(printf, string, args)))

void story_begin(bool json, const char *title);
/* A line of the cast: who plays what. */
void story_role(const char *name, const char *format, ...) STORY_PRINTF(2, 3);
void story_step(const char *title);
void story_say(const char *format, ...) STORY_PRINTF(1, 2);

/*
 * A thing that was checked. The detail, which may be "", says more: a figure,
 * or what went wrong. Returns ok.
 */
bool story_check(bool ok, const char *id, const char *what, const char *detail, ...)
	STORY_PRINTF(4, 5);
/* A check that could not be made because an earlier one has failed. */
void story_skip(const char *id, const char *what, const char *why);

/* Ends the story; returns the program's exit status. */
int story_end(void);

#endif /* DEMO_STORY_H */
