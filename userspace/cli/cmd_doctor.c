/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"
#include "output.h"

static const char *const answer_words[] = {
	[ANSWER_NO] = "no",
	[ANSWER_YES] = "yes",
	[ANSWER_UNKNOWN] = "unknown",
};

static const char *const group_ids[] = {
	[GROUP_MACHINE] = "machine",
	[GROUP_KERNEL] = "kernel",
	[GROUP_MEMTYPE] = "memory-type",
	[GROUP_RDMA] = "rdma",
	[GROUP_PROGRAM] = "program",
};

struct finding *finding_add(struct doctor *doctor, enum group group, enum answer answer,
			    const char *id, const char *ability)
{
	size_t size = (doctor->nr_findings + 1) * sizeof(*doctor->findings);
	struct finding *finding = realloc(doctor->findings, size);

	if (!finding) {
		fputs("peerbar: out of memory\n", stderr);
		exit(CLI_FAILED);
	}
	doctor->findings = finding;
	finding += doctor->nr_findings++;
	memset(finding, 0, sizeof(*finding));
	finding->group = group;
	finding->answer = answer;
	snprintf(finding->id, sizeof(finding->id), "%s", id);
	snprintf(finding->ability, sizeof(finding->ability), "%s", ability);
	return finding;
}

void finding_why(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->why, sizeof(finding->why), format, args);
	va_end(args);
}

void finding_fix(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->fix, sizeof(finding->fix), format, args);
	va_end(args);
}

static void count_answers(const struct doctor *doctor, unsigned int counts[NR_ANSWERS])
{
	memset(counts, 0, NR_ANSWERS * sizeof(*counts));
	for (size_t i = 0; i < doctor->nr_findings; i++)
		counts[doctor->findings[i].answer]++;
}

static struct json_object *finding_json(const struct finding *finding)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "id", json_object_new_string(finding->id));
	json_object_object_add(object, "group", json_object_new_string(group_ids[finding->group]));
	json_object_object_add(object, "ability", json_object_new_string(finding->ability));
	json_object_object_add(object, "answer",
			       json_object_new_string(answer_words[finding->answer]));
	json_object_object_add(object, "why", json_object_new_string(finding->why));
	json_object_object_add(object, "fix",
			       *finding->fix ? json_object_new_string(finding->fix) : NULL);
	json_object_object_add(object, "alarm", json_object_new_boolean(finding->alarm));
	return object;
}

static struct json_object *summary_json(const struct doctor *doctor)
{
	struct json_object *object = json_object_new_object();
	unsigned int counts[NR_ANSWERS];

	count_answers(doctor, counts);
	for (int i = 0; i < NR_ANSWERS; i++)
		json_object_object_add(object, answer_words[i], json_object_new_int(counts[i]));
	return object;
}

static void print_json(const struct doctor *doctor, const char *machine)
{
	struct json_object *document = json_object_new_object();
	struct json_object *abilities = json_object_new_array();

	json_object_object_add(document, "kernel",
			       json_object_new_string(doctor->caps.kernel_release));
	json_object_object_add(document, "machine", json_object_new_string(machine));
	json_object_object_add(document, "device",
			       *doctor->device ? json_object_new_string(doctor->device) : NULL);
	for (size_t i = 0; i < doctor->nr_findings; i++)
		json_object_array_add(abilities, finding_json(&doctor->findings[i]));
	json_object_object_add(document, "abilities", abilities);
	json_object_object_add(document, "summary", summary_json(doctor));
	out_json(document);
}

/* answer, a blank, ability, two blanks */
#define ANSWER_COLUMN 2
#define ABILITY_COLUMN (ANSWER_COLUMN + 4)

static void print_answer(const struct finding *finding)
{
	static const enum out_style styles[] = {
		[ANSWER_NO] = OUT_BAD,
		[ANSWER_YES] = OUT_GOOD,
		[ANSWER_UNKNOWN] = OUT_DOUBT,
	};

	printf("%*s", ANSWER_COLUMN, "");
	if (finding->alarm)
		out_styled(OUT_ALARM, "%-3s ", "NO!");
	else
		out_styled(styles[finding->answer], "%-3s ",
			   finding->answer == ANSWER_UNKNOWN ? "?" : answer_words[finding->answer]);
}

static bool same_story(const struct finding *a, const struct finding *b)
{
	return a->group == b->group && !strcmp(a->why, b->why) && !strcmp(a->fix, b->fix);
}

static unsigned int reason_column(const struct doctor *doctor)
{
	size_t longest = 0;

	for (size_t i = 0; i < doctor->nr_findings; i++) {
		size_t length = strlen(doctor->findings[i].ability);

		if (length > longest)
			longest = length;
	}
	return ABILITY_COLUMN + longest + 2;
}

/* Where several in a row have the same reason and remedy, they are told once. */
static void print_finding(const struct doctor *doctor, size_t index, unsigned int column)
{
	const struct finding *finding = &doctor->findings[index];
	bool told = index && same_story(finding - 1, finding);
	bool more = index + 1 < doctor->nr_findings && same_story(finding, finding + 1);

	print_answer(finding);
	if (told) {
		puts(finding->ability);
	} else {
		printf("%-*s", (int)(column - ABILITY_COLUMN), finding->ability);
		out_wrapped(finding->why, column, column);
	}
	if (more || !*finding->fix)
		return;
	printf("%*s", (int)column, "");
	out_styled(OUT_BOLD, "-> ");
	out_wrapped(finding->fix, column + 3, column + 3);
}

static void print_title(const struct doctor *doctor, enum group group)
{
	static const char *const titles[] = {
		[GROUP_MACHINE] = "This machine",
		[GROUP_KERNEL] = "Kernel features",
		[GROUP_MEMTYPE] = "Memory types, read from the page table",
		[GROUP_RDMA] = "RDMA devices that take dma-bufs",
		[GROUP_PROGRAM] = "The program",
	};

	putchar('\n');
	out_styled(OUT_BOLD, "%s", titles[group]);
	if (group == GROUP_KERNEL && *doctor->device)
		printf(", as found on %s", doctor->device);
	if (group == GROUP_PROGRAM)
		printf(" %s", doctor->cli->program);
	putchar('\n');
}

static void print_alarm(const struct finding *finding)
{
	putchar('\n');
	out_styled(OUT_ALARM, "WARNING: ");
	printf("\"%s\" is NOT true here: ", finding->ability);
	puts(finding->why);
}

static void print_summary(const struct doctor *doctor)
{
	unsigned int counts[NR_ANSWERS];

	count_answers(doctor, counts);
	printf("\n%u yes, %u no, %u unknown\n", counts[ANSWER_YES], counts[ANSWER_NO],
	       counts[ANSWER_UNKNOWN]);
}

static void print_text(const struct doctor *doctor, const char *machine)
{
	unsigned int column = reason_column(doctor);

	out_styled(OUT_BOLD, "Linux %s on %s\n", doctor->caps.kernel_release, machine);
	for (size_t i = 0; i < doctor->nr_findings; i++) {
		const struct finding *finding = &doctor->findings[i];

		if (!i || finding[-1].group != finding->group)
			print_title(doctor, finding->group);
		print_finding(doctor, i, column);
	}
	for (size_t i = 0; i < doctor->nr_findings; i++)
		if (doctor->findings[i].alarm)
			print_alarm(&doctor->findings[i]);
	print_summary(doctor);
}

static enum cli_status examine(struct doctor *doctor)
{
	struct failure failure = { .tried = "cannot ask this machine what it can do" };
	enum cli_status status;
	int ret = peerbar_system_caps(doctor->cli->pb, &doctor->caps);

	if (ret) {
		failure.error = -ret;
		failure_report(doctor->cli, &failure);
		return CLI_FAILED;
	}
	doctor_examine_machine(doctor);
	doctor_examine_bindings(doctor);
	status = doctor_examine_device(doctor);
	if (!status)
		doctor_examine_rdma(doctor);
	if (!status && doctor->cli->program)
		status = doctor_examine_program(doctor, doctor->cli->program);
	return status;
}

enum cli_status cmd_doctor(struct cli *cli)
{
	struct doctor doctor = {
		.cli = cli,
		.caps = { .size = sizeof(doctor.caps) },
	};
	struct utsname machine;
	enum cli_status status;

	if (cli->device && cli_has(cli, CLI_OPT_PASSIVE))
		return usage_error(cli, "--device and --passive exclude each other");
	if (cli_open(cli))
		return CLI_FAILED;
	status = examine(&doctor);
	if (!status) {
		uname(&machine);
		if (cli_has(cli, CLI_OPT_JSON))
			print_json(&doctor, machine.machine);
		else
			print_text(&doctor, machine.machine);
	}
	free(doctor.findings);
	return status;
}
