/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The data path of the rxe provider that is in use: rdma-core has lost data in
 * it silently, in ways that were mended one by one. build-provider notes what
 * it could fix; of the distribution's own provider the release tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_provider.h"

#define NEVER 0

/* The names are build-provider's. */
static const struct fault {
	const char *fix;
	const char *words;
	unsigned int fixed_in; /* rdma-core, major * 100 + minor */
} faults[] = {
	{"list-lengths", "lists of SGEs and of inline data are cut short", 6400},
	{"overflow", "work requests past 4 GiB are cut short", NEVER},
	{"inline-flag", "inline data of ibv_wr_*() needs IBV_SEND_INLINE", NEVER},
	{"cq-polling", "ibv_next_poll() goes past the end of a queue", 5900},
};

#define NR_FAULTS (sizeof(faults) / sizeof(faults[0]))

static void take_line(char *line, const char *key, char *value, size_t size)
{
	size_t length = strlen(key);

	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, key, length))
		snprintf(value, size, "%s", line + length);
}

bool provenance_read(const char *provider, struct provenance *provenance)
{
	const char *slash = strrchr(provider, '/');
	char path[PATH_MAX + 16], line[PATH_MAX + 64];
	FILE *file;

	memset(provenance, 0, sizeof(*provenance));
	snprintf(path, sizeof(path), "%.*s/provenance", slash ? (int)(slash - provider) : 0,
		 provider);
	file = slash ? fopen(path, "re") : NULL;
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		take_line(line, "for: ", provenance->for_path, sizeof(provenance->for_path));
		take_line(line, "build-id: ", provenance->build_id, sizeof(provenance->build_id));
		take_line(line, "missing: ", provenance->missing, sizeof(provenance->missing));
	}
	fclose(file);
	return *provenance->for_path;
}

bool is_rxe_provider(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash ? slash + 1 : path, "librxe-rdmav", strlen("librxe-rdmav"));
}

unsigned int libibverbs_release(const char *path)
{
	char *real = realpath(path, NULL);
	char *version = real ? strstr(real, ".so.1.") : NULL;
	unsigned int library, major, minor, release = 0;

	if (version && sscanf(version, ".so.1.%u.%u.%u", &library, &major, &minor) == 3)
		release = major * 100 + minor;
	free(real);
	return release;
}

static void tell_faults(struct finding *finding, const char *whose, const bool has[NR_FAULTS])
{
	char list[FINDING_TEXT] = "";
	size_t used = 0;

	for (size_t i = 0; i < NR_FAULTS; i++)
		if (has[i] && used < sizeof(list))
			used += snprintf(list + used, sizeof(list) - used, "%s%s", used ? "; " : "",
					 faults[i].words);
	finding->answer = used ? ANSWER_NO : ANSWER_YES;
	if (!used) {
		finding_why(finding, "%s has no fault that is known here", whose);
		return;
	}
	finding_why(finding, "%s loses data without an error: %s", whose, list);
	finding_fix(finding, "export IBV_DRIVERS=$(userspace/rdma-core/build-provider)");
}

static bool is_in_list(const char *list, const char *word)
{
	size_t length = strlen(word);
	const char *at = list;

	while ((at = strstr(at, word))) {
		if ((at == list || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
		at += length;
	}
	return false;
}

void provider_judge(struct finding *finding, const char *provider, const char *libibverbs)
{
	unsigned int release = libibverbs_release(libibverbs);
	struct provenance provenance;
	bool has[NR_FAULTS];
	char whose[64];

	if (provenance_read(provider, &provenance)) {
		for (size_t i = 0; i < NR_FAULTS; i++)
			has[i] = is_in_list(provenance.missing, faults[i].fix);
		tell_faults(finding, "the provider in IBV_DRIVERS", has);
		return;
	}
	if (!release) {
		finding_why(finding, "whose provider %s is cannot be told", provider);
		finding_fix(finding, "one that is known: export "
				     "IBV_DRIVERS=$(userspace/rdma-core/build-provider)");
		return;
	}
	for (size_t i = 0; i < NR_FAULTS; i++)
		has[i] = faults[i].fixed_in == NEVER || release < faults[i].fixed_in;
	snprintf(whose, sizeof(whose), "the provider of rdma-core %u.%u", release / 100,
		 release % 100);
	tell_faults(finding, whose, has);
}
