/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The two halves of the guest's first program: init.c talks with the host and runs its command, root.c makes the file
 * systems that the command sees.
 */
#ifndef PEERBAR_GUEST_H
#define PEERBAR_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define ROOT "/root"

struct frame {
	uint8_t type;
	uint32_t len;
	char *data; /* one NUL more than len, for strings */
};

/* A growing NULL-terminated vector of strings. */
struct strv {
	char **v;
	size_t n;
};

void strv_add(struct strv *s, char *item);

/* Tells the host through the console, and powers off. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* First of all: devices, the host's root, and room for what only the guest has. */
void mount_host(void);

/*
 * What the host asks for before mount_root(). Strings stay the caller's, and stay valid.
 * add_file: PATH NUL CONTENTS; add_bind: SOURCE NUL TARGET, a folder of the host at another place; add_layer: a
 * throw-away layer over this folder of the host, or over all of it: "/".
 */
void add_file(const struct frame *f);
void add_bind(const char *pair);
void add_layer(const char *folder);

/* Makes ROOT out of all that; then the folders that are shared with the host for writing, TAG NUL FOLDER; then it is
 * the root. */
void mount_root(void);
void mount_share(const char *pair);
void enter_root(void);

#endif
