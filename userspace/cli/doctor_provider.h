/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What is known of a provider of rxe, from its file and what lies beside it. */
#ifndef PEERBAR_CLI_DOCTOR_PROVIDER_H
#define PEERBAR_CLI_DOCTOR_PROVIDER_H

#include <limits.h>
#include <stdbool.h>

#include "doctor.h"

/* Of what build-provider writes into the file "provenance". */
struct provenance {
	char for_path[PATH_MAX];
	char build_id[160];
	char missing[160]; /* fixes, separated by blanks */
};

/* Beside a provider; false where there is none, or none to be understood. */
bool provenance_read(const char *provider, struct provenance *provenance);

bool is_rxe_provider(const char *path);

/*
 * What the data path of this provider does wrong, for the libibverbs at this
 * path, which says the release where the provider does not. Sets the answer.
 */
void provider_judge(struct finding *finding, const char *provider, const char *libibverbs);

/* "44.0" of "libibverbs.so.1.14.44.0" as major * 100 + minor; 0: not told. */
unsigned int libibverbs_release(const char *path);

#endif
