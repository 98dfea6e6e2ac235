/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Which libibverbs a program gets, and whether a provider in IBV_DRIVERS fits
 * it. The program is read, not run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_provider.h"
#include "elf_file.h"
#include "output.h"

/* In every libibverbs: the beginning of what it prints. */
#define TRACE "libibverbs: Warning"

static struct finding *about_library(struct doctor *doctor, enum answer answer)
{
	return finding_add(doctor, GROUP_PROGRAM, answer, "program-libibverbs", "loads libibverbs");
}

static struct finding *about_provider(struct doctor *doctor, enum answer answer)
{
	return finding_add(doctor, GROUP_PROGRAM, answer, "program-provider",
			   "rxe provider that fits");
}

static void linked_in(struct doctor *doctor)
{
	struct finding *finding = about_library(doctor, ANSWER_NO);

	finding_why(finding, "libibverbs is linked into it statically: it has the providers that "
			     "were linked in with it, and never looks at IBV_DRIVERS");
	finding_fix(finding, "link it with the shared libibverbs, or with an rdma-core that has "
			     "userspace/rdma-core/patches");
}

/* A static copy leaves its messages behind, symbols or not. */
static void no_library(struct doctor *doctor, const struct elf_file *program)
{
	struct finding *finding;

	if (elf_holds(program, TRACE)) {
		linked_in(doctor);
		return;
	}
	finding = about_library(doctor, ANSWER_UNKNOWN);
	if (!program->dynamic) {
		finding_why(finding, "it is linked statically, and no libibverbs is seen in it");
		finding_fix(finding, "name the program that uses RDMA");
		return;
	}
	finding_why(finding, "neither it nor a library that it is linked with needs libibverbs; "
			     "what it loads later, such as a plugin, may");
	finding_fix(finding, "name that file: peerbar doctor --program PLUGIN.so");
}

static bool is_libibverbs(const struct elf_library *library)
{
	const char *slash = strrchr(library->name, '/');
	const char *name = slash ? slash + 1 : library->name;

	/* Wheels rename what they bring along: libibverbs-5d9c5b7d.so.1 */
	return !strncmp(name, "libibverbs.", 11) || !strncmp(name, "libibverbs-", 11);
}

/* The NN of providers' names, or NULL. */
static const char *private_abi(const struct elf_file *library)
{
	static const char prefix[] = "IBVERBS_PRIVATE_";

	for (size_t at = 0; at < library->nr_strings; at += strlen(library->strings + at) + 1)
		if (!strncmp(library->strings + at, prefix, strlen(prefix)))
			return library->strings + at + strlen(prefix);
	return NULL;
}

/* The installed one needs no option of build-provider's. */
static bool is_installed(const struct elf_file *library)
{
	char *installed = elf_cache_lookup("libibverbs.so.1");
	char *a = installed ? realpath(installed, NULL) : NULL;
	char *b = realpath(library->path, NULL);
	bool same = a && b && !strcmp(a, b);

	free(installed);
	free(a);
	free(b);
	return same;
}

static void fix_by_building(struct finding *finding, const struct elf_file *library)
{
	if (is_installed(library))
		finding_fix(finding, "export IBV_DRIVERS=$(userspace/rdma-core/build-provider)");
	else
		finding_fix(finding,
			    "export IBV_DRIVERS=$(userspace/rdma-core/build-provider "
			    "--for %s)",
			    library->path);
}

/* How well the candidates in IBV_DRIVERS fit, best last. */
enum fit {
	FIT_NONE,    /* there is no file for this private ABI */
	FIT_WRONG,   /* for another libibverbs with the same ABI number */
	FIT_UNKNOWN, /* not from build-provider */
	FIT_GOOD,
};

struct candidate {
	enum fit fit;
	char path[PATH_MAX];
	struct provenance provenance;
};

static enum fit fit_of(const char *path, const struct elf_file *library,
		       struct provenance *provenance)
{
	if (access(path, R_OK))
		return FIT_NONE;
	if (!is_rxe_provider(path))
		return FIT_NONE;
	if (!provenance_read(path, provenance) || !*library->build_id)
		return FIT_UNKNOWN;
	return strcmp(provenance->build_id, library->build_id) ? FIT_WRONG : FIT_GOOD;
}

static void find_candidate(const char *drivers, const struct elf_file *library, const char *abi,
			   struct candidate *best)
{
	char *list = strdup(drivers), *rest = list, *prefix;
	struct candidate next;

	memset(best, 0, sizeof(*best));
	while (list && (prefix = strsep(&rest, ":;"))) {
		snprintf(next.path, sizeof(next.path), "%s-rdmav%s.so", prefix, abi);
		next.fit = *prefix == '/' ? fit_of(next.path, library, &next.provenance) : FIT_NONE;
		if (next.fit > best->fit)
			*best = next;
	}
	free(list);
}

static void tell_candidate(struct doctor *doctor, const struct elf_file *library, const char *abi,
			   const struct candidate *best)
{
	struct finding *finding = about_provider(doctor, ANSWER_NO);

	switch (best->fit) {
	case FIT_GOOD:
		finding->answer = ANSWER_YES;
		finding_why(finding, "%s was built for this libibverbs", best->path);
		break;
	case FIT_UNKNOWN:
		finding->answer = ANSWER_UNKNOWN;
		finding_why(finding,
			    "%s has the right private ABI, %s; which release it is of "
			    "cannot be told",
			    best->path, abi);
		fix_by_building(finding, library);
		break;
	case FIT_WRONG:
		finding_why(finding, "%s was built for another libibverbs, %s", best->path,
			    best->provenance.for_path);
		fix_by_building(finding, library);
		break;
	case FIT_NONE:
		finding_why(finding, "IBV_DRIVERS names no rxe provider for its private ABI, %s",
			    abi);
		fix_by_building(finding, library);
		break;
	}
}

static void tell_provider(struct doctor *doctor, const struct elf_file *program,
			  const struct elf_file *library)
{
	const char *abi = private_abi(library);
	const char *drivers = getenv("RDMAV_DRIVERS");
	struct candidate best;
	struct finding *finding;

	if (!drivers)
		drivers = getenv("IBV_DRIVERS");
	if (program->setid) {
		finding = about_provider(doctor, ANSWER_NO);
		finding_why(finding, "it runs with the rights of another user or group, and "
				     "libibverbs then ignores IBV_DRIVERS");
		finding_fix(finding, "run it without setuid and setgid");
	} else if (!abi) {
		finding = about_provider(doctor, ANSWER_NO);
		finding_why(finding, "%s names no private ABI, so it takes no separate providers",
			    library->path);
		finding_fix(finding, "the libibverbs of rdma-core");
	} else {
		find_candidate(drivers ? drivers : "", library, abi, &best);
		tell_candidate(doctor, library, abi, &best);
	}
}

static void tell_library(struct doctor *doctor, const struct elf_file *program,
			 const struct elf_library *library)
{
	struct finding *finding;

	if (!library->file.path) {
		finding = about_library(doctor, ANSWER_NO);
		finding_why(finding, "it needs %s, which is not found", library->name);
		finding_fix(finding, "name its folder in LD_LIBRARY_PATH, or install libibverbs1");
		return;
	}
	finding = about_library(doctor, ANSWER_YES);
	finding_why(finding, "%s%s", library->file.path,
		    is_installed(&library->file) ? "" : ", which is not the installed one");
	tell_provider(doctor, program, &library->file);
}

static void look_for_library(struct doctor *doctor, const struct elf_file *program)
{
	const struct elf_library *found = NULL;
	struct elf_closure closure;

	if (elf_closure_open(program, &closure)) {
		finding_why(about_library(doctor, ANSWER_UNKNOWN), "out of memory");
		return;
	}
	for (size_t i = 0; i < closure.nr_libraries && !found; i++)
		if (is_libibverbs(&closure.libraries[i]))
			found = &closure.libraries[i];
	if (found)
		tell_library(doctor, program, found);
	else
		no_library(doctor, program);
	elf_closure_close(&closure);
}

static void no_program(struct doctor *doctor)
{
	struct finding *finding = about_library(doctor, ANSWER_UNKNOWN);

	finding_why(finding, "it is no program for this machine: a script, or something else "
			     "altogether");
	finding_fix(finding, "name the program that runs it, or the module that it loads");
}

static enum cli_status cannot_read(struct doctor *doctor, const char *path, int error)
{
	struct failure failure = {
		.error = error,
		.hint = "give the path of a program that you may read; `command -v NAME` prints it",
	};

	snprintf(failure.tried, sizeof(failure.tried), "cannot read the program %.150s", path);
	failure_report(doctor->cli, &failure);
	return CLI_FAILED;
}

enum cli_status doctor_examine_program(struct doctor *doctor, const char *path)
{
	struct elf_file program;
	int ret = elf_open(path, &program);

	if (ret == -ENOEXEC)
		no_program(doctor);
	else if (ret)
		return cannot_read(doctor, path, -ret);
	else
		look_for_library(doctor, &program);
	elf_close(&program);
	return CLI_OK;
}
