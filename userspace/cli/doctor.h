/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A doctor's report: findings, in groups, in the order they were made. */
#ifndef PEERBAR_CLI_DOCTOR_H
#define PEERBAR_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "cli.h"

enum answer {
	ANSWER_NO,
	ANSWER_YES,
	ANSWER_UNKNOWN,
	NR_ANSWERS,
};

enum group {
	GROUP_MACHINE,
	GROUP_KERNEL,
	GROUP_MEMTYPE,
	GROUP_RDMA,
	GROUP_PROGRAM,
	NR_GROUPS,
};

#define FINDING_TEXT 640

struct finding {
	enum group group;
	enum answer answer;
	bool alarm;	   /* worse than a no: something is not what it claims */
	char id[48];	   /* for programs; stable */
	char ability[48];  /* for people */
	char why[FINDING_TEXT];
	char fix[FINDING_TEXT]; /* what would change it; empty with a yes */
};

struct doctor {
	struct cli *cli;
	struct peerbar_system_caps caps;
	/* The device that was asked; empty: none. */
	char device[PEERBAR_ADDRESS_MAX];
	struct finding *findings;
	size_t nr_findings;
};

/*
 * Adds a finding; set its reason and remedy next. Never fails: out of memory
 * ends the program, which has nothing to undo.
 */
struct finding *finding_add(struct doctor *doctor, enum group group, enum answer answer,
			    const char *id, const char *ability);
void finding_why(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void finding_fix(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void doctor_examine_machine(struct doctor *doctor);
/* What binds and unbinds that were interrupted have left behind. */
void doctor_examine_bindings(struct doctor *doctor);
/* Kernel features and memory types; CLI_OK unless --device names a wrong one. */
enum cli_status doctor_examine_device(struct doctor *doctor);
void doctor_examine_rdma(struct doctor *doctor);
/* Which libibverbs this file would be given; CLI_OK unless it cannot be read. */
enum cli_status doctor_examine_program(struct doctor *doctor, const char *path);

#endif
