/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What devices are in use for, gathered to be told in one piece. */
#ifndef PEERBAR_CLI_USES_H
#define PEERBAR_CLI_USES_H

#include <json-c/json.h>

#include "cli.h"

struct uses {
	int error;		  /* positive errno; 0: not in use */
	bool bridge;		  /* one of them, which is never bound */
	char text[512];		  /* in words, "; " between them */
	struct json_object *list; /* the same for programs; the owner's to put */
	const char *named;	  /* the device that need not be named in the text */
};

/* Adds those of one more device. */
void uses_add(struct cli *cli, struct uses *uses, const char *address);

#endif
