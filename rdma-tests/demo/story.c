// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "story.h"

#define TEXT_MAX 512
#define WIDTH	 76

static struct {
	bool json;
	int steps;
	int checks; /* of this step */
	bool in_step;
	bool quiet_line; /* the last line was told, not checked */
	int passed;
	int failed;
	int skipped;
} story;

/* JSON ---------------------------------------------------------------------- */

static void json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void json_member(const char *name, const char *text, const char *after)
{
	json_string(name);
	fputs(": ", stdout);
	json_string(text);
	fputs(after, stdout);
}

static void json_close_step(void)
{
	if (story.in_step)
		fputs("]}", stdout);
	story.in_step = false;
}

static void json_check(const char *id, const char *result, const char *what, const char *detail)
{
	fputs(story.checks++ ? ",\n      {" : "\n      {", stdout);
	json_member("id", id, ", ");
	json_member("result", result, ", ");
	json_member("what", what, ", ");
	json_member("detail", detail, "}");
}

/* Text ---------------------------------------------------------------------- */

/* Prints words, broken into lines, behind an indentation. */
static void wrap(const char *first, const char *rest, const char *text)
{
	size_t column = strlen(first);
	bool fresh = true;

	fputs(first, stdout);
	while (*text) {
		size_t word = strcspn(text, " ");

		if (!fresh && column + 1 + word > WIDTH) {
			printf("\n%s", rest);
			column = strlen(rest);
			fresh = true;
		}
		printf("%s%.*s", fresh ? "" : " ", (int)word, text);
		column += word + !fresh;
		fresh = false;
		text += word;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void text_check(const char *mark, const char *what, const char *detail)
{
	char line[2 * TEXT_MAX + 8], first[16];

	snprintf(line, sizeof(line), "%s%s%s", what, *detail ? ": " : "", detail);
	snprintf(first, sizeof(first), "   %-5s", mark);
	if (story.quiet_line)
		putchar('\n');
	story.quiet_line = false;
	wrap(first, "        ", line);
}

/* Both ---------------------------------------------------------------------- */

void story_begin(bool json, const char *title)
{
	memset(&story, 0, sizeof(story));
	story.json = json;
	/* Whole lines at once, and each as soon as it is there. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (json) {
		fputs("{\n  ", stdout);
		json_member("title", title, "");
	} else {
		printf("\n%s\n\n", title);
	}
}

void story_role(const char *name, const char *format, ...)
{
	char text[TEXT_MAX], first[32];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (story.json) {
		fputs(",\n  ", stdout);
		json_member(name, text, "");
		return;
	}
	snprintf(first, sizeof(first), "   %-9s", name);
	wrap(first, "            ", text);
}

void story_step(const char *title)
{
	story.checks = 0;
	story.quiet_line = false;
	if (story.json) {
		json_close_step();
		fputs(story.steps ? ",\n    {" : ",\n  \"steps\": [\n    {", stdout);
		json_member("title", title, ", \"checks\": [");
	} else {
		printf("\n%d. %s\n\n", story.steps + 1, title);
	}
	story.in_step = true;
	story.steps++;
}

void story_say(const char *format, ...)
{
	char text[2 * TEXT_MAX];
	va_list args;

	if (story.json)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!story.quiet_line && story.checks)
		putchar('\n');
	wrap("   ", "   ", text);
	story.quiet_line = true;
}

bool story_check(bool ok, const char *id, const char *what, const char *detail, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	story.passed += ok;
	story.failed += !ok;
	if (story.json) {
		json_check(id, ok ? "passed" : "failed", what, text);
	} else {
		text_check(ok ? "ok" : "FAIL", what, text);
		story.checks++;
	}
	return ok;
}

void story_skip(const char *id, const char *what, const char *why)
{
	story.skipped++;
	if (story.json) {
		json_check(id, "skipped", what, why);
	} else {
		text_check("skip", what, why);
		story.checks++;
	}
}

int story_end(void)
{
	if (story.json) {
		json_close_step();
		fputs(story.steps ? "],\n" : ",\n", stdout);
		printf("  \"passed\": %d,\n  \"failed\": %d,\n"
		       "  \"skipped\": %d\n}\n",
		       story.passed, story.failed, story.skipped);
	} else {
		printf("\n%d passed, %d failed, %d skipped\n", story.passed, story.failed,
		       story.skipped);
	}
	fflush(stdout);
	return story.failed || !story.passed ? 1 : 0;
}
