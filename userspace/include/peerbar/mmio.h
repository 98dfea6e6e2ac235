/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: Doorbells and write-combining
 *
 * Inline primitives for mapped device memory: accesses of an exact width, the
 * two fences that write-combining (WC) asks for, a 64-byte push, and copies.
 * The header depends on nothing, not even on libpeerbar, and works in C99 and
 * later and in C++. There is code for x86-64 and aarch64; elsewhere plain C
 * and the compiler's full fence.
 *
 * What a mapping's memory type means for the one who writes through it:
 *
 * - Noncached (NC): every store reaches the device as it is, once, in program
 *   order. peerbar_write32() and a doorbell behind it need nothing between.
 * - Write-combining (WC): stores gather in a small buffer of the CPU. They
 *   leave it in any order, and two stores to one address may leave as one. Only
 *   the fences order them. An ordinary lock does not: flush before unlocking,
 *   or another thread's stores may mix with ours.
 *
 * The sequence for a descriptor in WC memory and a doorbell elsewhere::
 *
 *	peerbar_wc_start();		what came before stays before
 *	peerbar_copy_to(ring, &descriptor, sizeof(descriptor));
 *	peerbar_wc_flush();		the descriptor has left the CPU
 *	peerbar_write64(doorbell, tail);
 *
 * Nothing here waits for the device: PCIe writes are posted. Who must know that
 * one has arrived reads from the same device.
 *
 * An access to a mapping that has been revoked raises SIGBUS. All of these are
 * async-signal-safe, and any number of threads may use them at once; what the
 * device makes of it is the caller's business.
 *
 * Byte order: values go out as they are. PCI devices are little-endian as a
 * rule; convert on a big-endian machine.
 *
 * Sources: Intel SDM volume 1 section 10.4.6.2 and volume 3 section "Memory
 * Cache Control" (what SFENCE and write-combining buffers do, MOVNTDQA,
 * MOVDIR64B); Arm ARM section B2.3 (Normal-NC, DSB).
 */
#ifndef PEERBAR_MMIO_H
#define PEERBAR_MMIO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Fences ------------------------------------------------------------------- */

/**
 * peerbar_wc_start - begin a batch of stores to write-combining memory
 *
 * All that this thread stored before, to any kind of memory, is visible to the
 * device before anything that it stores to WC memory afterwards. So a
 * descriptor in host memory can be read by the device that is then rung
 * through a WC mapping.
 *
 * x86-64: SFENCE. aarch64: DSB ST.
 */
static inline void peerbar_wc_start(void)
{
#if defined(__x86_64__)
	__asm__ __volatile__("sfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ __volatile__("dsb st" ::: "memory");
#else
	__sync_synchronize();
#endif
}

/**
 * peerbar_wc_flush - end a batch of stores to write-combining memory
 *
 * All that this thread stored before to WC memory, and the streaming stores of
 * peerbar_copy_to(), have left the CPU before anything it stores afterwards, to
 * any kind of memory. Without it the last bytes may stay in the CPU for as
 * long as it likes. That the device has got them it does not say.
 *
 * x86-64: SFENCE. aarch64: DSB ST.
 */
static inline void peerbar_wc_flush(void)
{
#if defined(__x86_64__)
	__asm__ __volatile__("sfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ __volatile__("dsb st" ::: "memory");
#else
	__sync_synchronize();
#endif
}

/* Single accesses ---------------------------------------------------------- */

/**
 * peerbar_write8 - one 8-bit store, and nothing else
 * @addr: where to
 * @value: what
 *
 * Exactly one store instruction of exactly this width, which the compiler
 * neither drops, repeats, splits, merges nor moves across another access of
 * this family. No fence. The same holds for the wider ones, with @addr aligned
 * to their width.
 */
static inline void peerbar_write8(volatile void *addr, uint8_t value)
{
#if defined(__aarch64__)
	/* A plain register address, or a hypervisor cannot emulate the store. */
	__asm__ __volatile__("strb %w0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	*(volatile uint8_t *)addr = value;
#endif
}

/**
 * peerbar_write16 - one 16-bit store, and nothing else
 * @addr: where to, 2-byte aligned
 * @value: what
 */
static inline void peerbar_write16(volatile void *addr, uint16_t value)
{
#if defined(__aarch64__)
	__asm__ __volatile__("strh %w0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	*(volatile uint16_t *)addr = value;
#endif
}

/**
 * peerbar_write32 - one 32-bit store, and nothing else
 * @addr: where to, 4-byte aligned
 * @value: what
 */
static inline void peerbar_write32(volatile void *addr, uint32_t value)
{
#if defined(__aarch64__)
	__asm__ __volatile__("str %w0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	*(volatile uint32_t *)addr = value;
#endif
}

/**
 * peerbar_read8 - one 8-bit load, and nothing else
 * @addr: where from
 *
 * As peerbar_write8(), for loads.
 *
 * Return: what the device answered; all ones where it did not.
 */
static inline uint8_t peerbar_read8(const volatile void *addr)
{
#if defined(__aarch64__)
	uint32_t value;

	__asm__ __volatile__("ldrb %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
	return (uint8_t)value;
#else
	return *(const volatile uint8_t *)addr;
#endif
}

/**
 * peerbar_read16 - one 16-bit load, and nothing else
 * @addr: where from, 2-byte aligned
 *
 * Return: what the device answered; all ones where it did not.
 */
static inline uint16_t peerbar_read16(const volatile void *addr)
{
#if defined(__aarch64__)
	uint32_t value;

	__asm__ __volatile__("ldrh %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
	return (uint16_t)value;
#else
	return *(const volatile uint16_t *)addr;
#endif
}

/**
 * peerbar_read32 - one 32-bit load, and nothing else
 * @addr: where from, 4-byte aligned
 *
 * Return: what the device answered; all ones where it did not.
 */
static inline uint32_t peerbar_read32(const volatile void *addr)
{
#if defined(__aarch64__)
	uint32_t value;

	__asm__ __volatile__("ldr %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
	return value;
#else
	return *(const volatile uint32_t *)addr;
#endif
}

/*
 * On a 32-bit machine these two would be two accesses each, which a doorbell
 * does not take: there they do not exist, instead of lying.
 */
#if UINTPTR_MAX > 0xffffffffu

/**
 * peerbar_write64 - one 64-bit store, and nothing else
 * @addr: where to, 8-byte aligned
 * @value: what
 *
 * Not declared on 32-bit machines, which have no such store.
 */
static inline void peerbar_write64(volatile void *addr, uint64_t value)
{
#if defined(__aarch64__)
	__asm__ __volatile__("str %x0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	*(volatile uint64_t *)addr = value;
#endif
}

/**
 * peerbar_read64 - one 64-bit load, and nothing else
 * @addr: where from, 8-byte aligned
 *
 * Not declared on 32-bit machines, which have no such load.
 *
 * Return: what the device answered; all ones where it did not.
 */
static inline uint64_t peerbar_read64(const volatile void *addr)
{
#if defined(__aarch64__)
	uint64_t value;

	__asm__ __volatile__("ldr %x0, [%1]" : "=r"(value) : "r"(addr) : "memory");
	return value;
#else
	return *(const volatile uint64_t *)addr;
#endif
}

#endif /* 64-bit */

/* What the CPU has --------------------------------------------------------- */

#if defined(__x86_64__)

#define PEERBAR_CPU_KNOWN_     1u
#define PEERBAR_CPU_MOVDIR64B_ 2u
#define PEERBAR_CPU_MOVNTDQA_  4u

/*
 * The answer is the same for whoever asks, so threads that ask at once may
 * both store it; one word, relaxed, is all it takes. Out of line, so that a
 * doorbell needs no more registers than its data.
 */
static __attribute__((noinline, cold, unused)) unsigned int peerbar_cpu_ask_(unsigned int *cached)
{
	unsigned int a, b, c, d, found = PEERBAR_CPU_KNOWN_;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 19)))
		found |= PEERBAR_CPU_MOVNTDQA_;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 28)))
		found |= PEERBAR_CPU_MOVDIR64B_;
	__atomic_store_n(cached, found, __ATOMIC_RELAXED);
	return found;
}

static inline unsigned int peerbar_cpu_(void)
{
	static unsigned int cached;
	unsigned int cpu = __atomic_load_n(&cached, __ATOMIC_RELAXED);

	return __builtin_expect(!cpu, 0) ? peerbar_cpu_ask_(&cached) : cpu;
}

#endif

/* 64 bytes at once --------------------------------------------------------- */

#if defined(__AVX512F__)
#define PEERBAR_VEC_SIZE_ 64
#elif defined(__AVX__)
#define PEERBAR_VEC_SIZE_ 32
#elif defined(__x86_64__) || defined(__aarch64__)
#define PEERBAR_VEC_SIZE_ 16
#else
#define PEERBAR_VEC_SIZE_ 8
#endif

typedef uint64_t peerbar_vec_ __attribute__((vector_size(PEERBAR_VEC_SIZE_), may_alias));
/* The same at any address; loading one is a single instruction, too. */
typedef uint64_t peerbar_uvec_
	__attribute__((vector_size(PEERBAR_VEC_SIZE_), may_alias, aligned(1)));

/* The widest stores this translation unit may use, in ascending order. */
static inline void peerbar_store64_(volatile void *dst, const void *src)
{
	volatile peerbar_vec_ *to = (volatile peerbar_vec_ *)dst;
	const peerbar_uvec_ *from = (const peerbar_uvec_ *)src;
#if PEERBAR_VEC_SIZE_ == 16
	/* Most machines: all loads first, so that nothing delays the stores. */
	peerbar_vec_ a = from[0], b = from[1], c = from[2], d = from[3];

	to[0] = a;
	to[1] = b;
	to[2] = c;
	to[3] = d;
#else
	unsigned int i;

	for (i = 0; i < 64 / PEERBAR_VEC_SIZE_; i++)
		to[i] = from[i];
#endif
}

/**
 * peerbar_wc_push64 - store 64 bytes at once, as far as the CPU can
 * @dst: where to in device memory; 64-byte aligned, or the CPU traps
 * @src: what; ordinary memory, of any alignment
 *
 * For doorbells that take a whole descriptor. Stands between
 * peerbar_wc_start() and peerbar_wc_flush(), which it does not contain, so
 * that several pushes share them.
 *
 * Where the CPU has MOVDIR64B it is one instruction, and on any memory type
 * one 64-byte write that nothing can split. Elsewhere it is the widest vector
 * stores that the compiler was allowed to use (16 bytes at least on x86-64 and
 * aarch64), ascending; through a WC mapping those normally leave the CPU as
 * one 64-byte write, but no CPU promises that, and through an NC mapping they
 * never do. A device that must not see half of it needs MOVDIR64B.
 */
static inline void peerbar_wc_push64(volatile void *dst, const void *src)
{
#if defined(__x86_64__)
#if defined(__MOVDIR64B__)
	const int movdir64b = 1;
#else
	const int movdir64b = peerbar_cpu_() & PEERBAR_CPU_MOVDIR64B_;
#endif
	if (movdir64b) {
		__asm__ __volatile__("movdir64b %1, %0"
				     :
				     : "r"(dst), "m"(*(const char(*)[64])src)
				     : "memory");
		return;
	}
#endif
	peerbar_store64_(dst, src);
}

/* Copies ------------------------------------------------------------------- */

/*
 * The pieces before and after the bulk of a copy. Each is as wide as its
 * address allows; no byte is touched twice or outside the range.
 */
static inline size_t peerbar_piece_(uintptr_t addr, size_t n)
{
	size_t size = sizeof(uintptr_t);

	while (size > n || (addr & (size - 1)))
		size /= 2;
	return size;
}

static inline void peerbar_put_(volatile void *dst, const void *src, size_t size)
{
	uint16_t v16;
	uint32_t v32;
	uintptr_t word;

	switch (size) {
	case 1:
		peerbar_write8(dst, *(const uint8_t *)src);
		return;
	case 2:
		memcpy(&v16, src, sizeof(v16));
		peerbar_write16(dst, v16);
		return;
	case 4:
		memcpy(&v32, src, sizeof(v32));
		peerbar_write32(dst, v32);
		return;
	default:
		memcpy(&word, src, sizeof(word));
		*(volatile uintptr_t *)dst = word;
	}
}

static inline void peerbar_get_(void *dst, const volatile void *src, size_t size)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uintptr_t word;

	switch (size) {
	case 1:
		v8 = peerbar_read8(src);
		memcpy(dst, &v8, sizeof(v8));
		return;
	case 2:
		v16 = peerbar_read16(src);
		memcpy(dst, &v16, sizeof(v16));
		return;
	case 4:
		v32 = peerbar_read32(src);
		memcpy(dst, &v32, sizeof(v32));
		return;
	default:
		word = *(const volatile uintptr_t *)src;
		memcpy(dst, &word, sizeof(word));
	}
}

static inline void peerbar_put_pieces_(volatile char *dst, const char *src, size_t n)
{
	while (n) {
		size_t size = peerbar_piece_((uintptr_t)dst, n);

		peerbar_put_(dst, src, size);
		dst += size;
		src += size;
		n -= size;
	}
}

static inline void peerbar_get_pieces_(char *dst, const volatile char *src, size_t n)
{
	while (n) {
		size_t size = peerbar_piece_((uintptr_t)src, n);

		peerbar_get_(dst, src, size);
		dst += size;
		src += size;
		n -= size;
	}
}

/* How many of @n bytes there are before the next multiple of @align. */
static inline size_t peerbar_head_(const volatile void *p, size_t align, size_t n)
{
	size_t head = (size_t)(-(uintptr_t)p & (align - 1));

	return head < n ? head : n;
}

/*
 * The bulk: @dst is aligned to 64 bytes, @n a multiple of it. Streaming stores
 * keep host memory out of the cache as well, should it be that.
 */
static inline void peerbar_put_lines_(volatile char *dst, const char *src, size_t n)
{
	for (; n; n -= 64, dst += 64, src += 64) {
#if defined(__x86_64__)
		const __m128i *from = (const __m128i *)src;
		__m128i *to = (__m128i *)(uintptr_t)dst;
		__m128i a = _mm_loadu_si128(from);
		__m128i b = _mm_loadu_si128(from + 1);
		__m128i c = _mm_loadu_si128(from + 2);
		__m128i d = _mm_loadu_si128(from + 3);

		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, d);
#else
		peerbar_store64_(dst, src);
#endif
	}
}

#if defined(__x86_64__)

/* Assembly, since the intrinsic is there only for who compiles for SSE4.1. */
static inline __m128i peerbar_stream_load_(const volatile char *src)
{
	__m128i v;

	__asm__ __volatile__("movntdqa %1, %0" : "=x"(v) : "m"(*(const volatile __m128i *)src));
	return v;
}

static inline void peerbar_stream_lines_(char *dst, const volatile char *src, size_t n)
{
	for (; n; n -= 64, dst += 64, src += 64) {
		__m128i a = peerbar_stream_load_(src);
		__m128i b = peerbar_stream_load_(src + 16);
		__m128i c = peerbar_stream_load_(src + 32);
		__m128i d = peerbar_stream_load_(src + 48);
		__m128i *to = (__m128i *)dst;

		_mm_storeu_si128(to, a);
		_mm_storeu_si128(to + 1, b);
		_mm_storeu_si128(to + 2, c);
		_mm_storeu_si128(to + 3, d);
	}
}

#endif

/* The bulk: @src is aligned to 64 bytes, @n a multiple of it. */
static inline void peerbar_get_lines_(char *dst, const volatile char *src, size_t n)
{
#if defined(__x86_64__)
	if (peerbar_cpu_() & PEERBAR_CPU_MOVNTDQA_) {
		peerbar_stream_lines_(dst, src, n);
		return;
	}
#endif
	for (; n; n -= PEERBAR_VEC_SIZE_) {
		peerbar_vec_ v = *(const volatile peerbar_vec_ *)src;

		memcpy(dst, &v, sizeof(v));
		dst += sizeof(v);
		src += sizeof(v);
	}
}

/**
 * peerbar_copy_to - copy from host memory to device memory
 * @dst: where to, any alignment; not overlapping @src
 * @src: what, any alignment
 * @n: bytes, 0 included
 *
 * For memory, not for registers: of which widths the stores are and in which
 * order they arrive is not said. Every byte is written once and none outside
 * of the range. The bulk goes by streaming stores where there are such.
 *
 * The copy is complete, for the device and for other threads, after
 * peerbar_wc_flush(), whatever the mapping's memory type.
 */
static inline void peerbar_copy_to(volatile void *dst, const void *src, size_t n)
{
	volatile char *to = (volatile char *)dst;
	const char *from = (const char *)src;
	size_t head = peerbar_head_(to, 64, n);
	size_t lines = (n - head) & ~(size_t)63;

	peerbar_put_pieces_(to, from, head);
	peerbar_put_lines_(to + head, from + head, lines);
	peerbar_put_pieces_(to + head + lines, from + head + lines, n - head - lines);
}

/**
 * peerbar_copy_from - copy from device memory to host memory
 * @dst: where to, any alignment; not overlapping @src
 * @src: what, any alignment
 * @n: bytes, 0 included
 *
 * For memory, not for registers: of which widths the loads are is not said.
 * Every byte is read once and none outside of the range. The bulk goes by
 * streaming loads where there are such (MOVNTDQA on x86-64): on WC memory those
 * fetch whole lines, where ordinary loads fetch a few bytes each.
 *
 * It begins with a full fence, so that it sees what this thread stored, and
 * what the device stored before something that this thread has already seen.
 */
static inline void peerbar_copy_from(void *dst, const volatile void *src, size_t n)
{
	char *to = (char *)dst;
	const volatile char *from = (const volatile char *)src;
	size_t head = peerbar_head_(from, 64, n);
	size_t lines = (n - head) & ~(size_t)63;

#if defined(__x86_64__)
	/* Streaming loads may be served from a buffer that is out of date. */
	__asm__ __volatile__("mfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ __volatile__("dsb sy" ::: "memory");
#else
	__sync_synchronize();
#endif
	peerbar_get_pieces_(to, from, head);
	peerbar_get_lines_(to + head, from + head, lines);
	peerbar_get_pieces_(to + head + lines, from + head + lines, n - head - lines);
}

#ifdef __cplusplus
}
#endif

#endif /* PEERBAR_MMIO_H */
