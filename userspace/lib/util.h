/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Scoped cleanup and small arithmetic shared by the library's files.
 */
#ifndef PB_UTIL_H
#define PB_UTIL_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define PB_ARRAY_SIZE(a)	     (sizeof(a) / sizeof((a)[0]))
#define PB_SIZEOF_FIELD(type, field) sizeof(((type *)0)->field)
#define PB_OFFSETOFEND(type, field)  (offsetof(type, field) + PB_SIZEOF_FIELD(type, field))
#define PB_MIN(a, b)		     ((a) < (b) ? (a) : (b))
#define PB_MAX(a, b)		     ((a) > (b) ? (a) : (b))
#define PB_STRING(x)		     PB_STRING_(x)
#define PB_STRING_(x)		     #x

/* What a probe answers; anything negative is an errno: it could not find out. */
enum {
	PB_NO = 0,
	PB_YES = 1,
};

/* Closing on the way out must not hide the errno that made us leave. */
static inline void pb_close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static inline void pb_cleanup_close(int *fd)
{
	pb_close_fd(*fd);
}

static inline void pb_cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void pb_cleanup_closedir(DIR **dir)
{
	int saved = errno;

	if (*dir)
		closedir(*dir);
	errno = saved;
}

#define PB_AUTO_CLOSE	 __attribute__((cleanup(pb_cleanup_close)))
#define PB_AUTO_FREE	 __attribute__((cleanup(pb_cleanup_free)))
#define PB_AUTO_CLOSEDIR __attribute__((cleanup(pb_cleanup_closedir)))

/* Hands a descriptor over: the scoped owner forgets it. */
static inline int pb_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* @align is a power of two in all three. */
static inline bool pb_is_aligned(uint64_t value, uint64_t align)
{
	return !(value & (align - 1));
}

static inline uint64_t pb_align_down(uint64_t value, uint64_t align)
{
	return value & ~(align - 1);
}

/* Smallest value >= @value that is congruent with @offset modulo @align. */
static inline uint64_t pb_congruent_up(uint64_t value, uint64_t offset, uint64_t align)
{
	return value + ((offset - value) & (align - 1));
}

size_t pb_page_size(void);

#endif /* PB_UTIL_H */
