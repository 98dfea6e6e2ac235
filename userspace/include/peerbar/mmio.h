/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: Doorbells and write-combining
 *
 * Inline primitives for mapped device memory: accesses of an exact width, the
 * barriers between them and host memory, the two fences that write-combining
 * (WC) asks for, a 64-byte push, and copies. The header depends on nothing, not
 * even on libpeerbar, and works in C99 and later and in C++. There is code for
 * x86-64, aarch64 and 64-bit RISC-V; elsewhere it does not compile, since
 * neither plain C nor the compiler's own fence orders accesses to a device.
 *
 * What a mapping's memory type means for the one who writes through it:
 *
 * - Noncached (NC): every store reaches the device as it is, once, in program
 *   order. peerbar_write32() and a doorbell behind it need nothing between.
 *   Between host memory and NC memory the CPU may reorder: that takes the two
 *   barriers below.
 * - Write-combining (WC): stores gather in a small buffer of the CPU. They
 *   leave it in any order, and two stores to one address may leave as one. Only
 *   the fences order them. An ordinary lock does not: flush before unlocking,
 *   or another thread's stores may mix with ours.
 *
 * The sequence for a descriptor in host memory and a noncached doorbell::
 *
 *	*descriptor = work;
 *	peerbar_to_device_barrier();	the device that is rung finds all of it
 *	peerbar_write32(doorbell, tail);
 *
 * and the way back, after the device wrote its result to host memory::
 *
 *	while (!peerbar_read32(status));
 *	peerbar_from_device_barrier();	nothing below was read before
 *	result = *completion;
 *
 * @status may be a register as well as a word of host memory that the device
 * writes last. Where the host's memory is not coherent with the device (DMA
 * without snooping), no barrier helps.
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
 * MOVDIR64B); Arm ARM section B2.3 (Normal-NC, DMB, DSB); RISC-V unprivileged
 * ISA, section "Memory Ordering Instructions" (FENCE and its I/O sets).
 */
#ifndef PEERBAR_MMIO_H
#define PEERBAR_MMIO_H

#if !defined(__x86_64__) && !defined(__aarch64__) && !(defined(__riscv) && __riscv_xlen == 64)
#error "peerbar/mmio.h: x86-64, aarch64 and riscv64 only: how this CPU orders device accesses is not known"
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Barriers ----------------------------------------------------------------- */

/* Nothing is kept in registers or moved across, by the compiler. */
static inline void peerbar_compiler_barrier_(void)
{
	__asm__ __volatile__("" ::: "memory");
}

/**
 * peerbar_to_device_barrier - host memory first, then the noncached doorbell
 *
 * What this thread stored to host memory before is visible to the device before
 * anything that it stores afterwards to noncached device memory: a device that
 * is rung by peerbar_write32() finds the whole descriptor.
 *
 * Not for WC memory, before or after: that takes peerbar_wc_start() and
 * peerbar_wc_flush(), which contain this one. The same goes for host memory that
 * peerbar_copy_to() wrote, by streaming stores.
 *
 * x86-64: for the compiler only, the CPU keeps that order. aarch64: DMB OSHST.
 * riscv64: FENCE OW,OW.
 */
static inline void peerbar_to_device_barrier(void)
{
#if defined(__aarch64__)
	__asm__ __volatile__("dmb oshst" ::: "memory");
#elif defined(__riscv)
	__asm__ __volatile__("fence ow, ow" ::: "memory");
#else
	peerbar_compiler_barrier_();
#endif
}

/**
 * peerbar_from_device_barrier - the device's word first, then what it speaks of
 *
 * What this thread loads afterwards, from host memory or from the device, it
 * loads after what it has loaded before: behind a poll that saw the device's
 * "done", in a register or in host memory, it finds what the device wrote before
 * saying so.
 *
 * x86-64: for the compiler only, the CPU keeps that order. aarch64: DMB OSHLD.
 * riscv64: FENCE IR,IR.
 */
static inline void peerbar_from_device_barrier(void)
{
#if defined(__aarch64__)
	__asm__ __volatile__("dmb oshld" ::: "memory");
#elif defined(__riscv)
	__asm__ __volatile__("fence ir, ir" ::: "memory");
#else
	peerbar_compiler_barrier_();
#endif
}

/* The fence around WC stores, of stores to any kind of memory. */
static inline void peerbar_store_fence_(void)
{
#if defined(__x86_64__)
	__asm__ __volatile__("sfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ __volatile__("dsb st" ::: "memory");
#else
	__asm__ __volatile__("fence ow, ow" ::: "memory");
#endif
}

/**
 * peerbar_wc_start - begin a batch of stores to write-combining memory
 *
 * All that this thread stored before, to any kind of memory, is visible to the
 * device before anything that it stores to WC memory afterwards. So a
 * descriptor in host memory can be read by the device that is then rung
 * through a WC mapping.
 *
 * x86-64: SFENCE. aarch64: DSB ST. riscv64: FENCE OW,OW.
 */
static inline void peerbar_wc_start(void)
{
	peerbar_store_fence_();
}

/**
 * peerbar_wc_flush - end a batch of stores to write-combining memory
 *
 * All that this thread stored before to WC memory, and the streaming stores of
 * peerbar_copy_to(), have left the CPU before anything it stores afterwards, to
 * any kind of memory. Without it the last bytes may stay in the CPU for as
 * long as it likes. That the device has got them it does not say.
 *
 * x86-64: SFENCE. aarch64: DSB ST. riscv64: FENCE OW,OW.
 */
static inline void peerbar_wc_flush(void)
{
	peerbar_store_fence_();
}

/* Single accesses ---------------------------------------------------------- */

/**
 * peerbar_write8 - one 8-bit store, and nothing else
 * @addr: where to
 * @value: what
 *
 * Exactly one store instruction of exactly this width, which the compiler
 * neither drops, repeats, splits, merges nor moves across any other access to
 * memory, of whatever kind. For the CPU it is no fence. The same holds for the
 * wider ones, with @addr aligned to their width.
 */
static inline void peerbar_write8(volatile void *addr, uint8_t value)
{
#if defined(__aarch64__)
	/* A plain register address, or a hypervisor cannot emulate the store. */
	__asm__ __volatile__("strb %w0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	peerbar_compiler_barrier_();
	*(volatile uint8_t *)addr = value;
	peerbar_compiler_barrier_();
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
	peerbar_compiler_barrier_();
	*(volatile uint16_t *)addr = value;
	peerbar_compiler_barrier_();
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
	peerbar_compiler_barrier_();
	*(volatile uint32_t *)addr = value;
	peerbar_compiler_barrier_();
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
	uint8_t value;

	peerbar_compiler_barrier_();
	value = *(const volatile uint8_t *)addr;
	peerbar_compiler_barrier_();
	return value;
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
	uint16_t value;

	peerbar_compiler_barrier_();
	value = *(const volatile uint16_t *)addr;
	peerbar_compiler_barrier_();
	return value;
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
	uint32_t value;

	peerbar_compiler_barrier_();
	value = *(const volatile uint32_t *)addr;
	peerbar_compiler_barrier_();
	return value;
#endif
}

/**
 * peerbar_write64 - one 64-bit store, and nothing else
 * @addr: where to, 8-byte aligned
 * @value: what
 */
static inline void peerbar_write64(volatile void *addr, uint64_t value)
{
#if defined(__aarch64__)
	__asm__ __volatile__("str %x0, [%1]" ::"rZ"(value), "r"(addr) : "memory");
#else
	peerbar_compiler_barrier_();
	*(volatile uint64_t *)addr = value;
	peerbar_compiler_barrier_();
#endif
}

/**
 * peerbar_read64 - one 64-bit load, and nothing else
 * @addr: where from, 8-byte aligned
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
	uint64_t value;

	peerbar_compiler_barrier_();
	value = *(const volatile uint64_t *)addr;
	peerbar_compiler_barrier_();
	return value;
#endif
}

/* What the CPU has --------------------------------------------------------- */

#if defined(__x86_64__)

#define PEERBAR_CPU_KNOWN_     1u
#define PEERBAR_CPU_MOVDIR64B_ 2u
#define PEERBAR_CPU_MOVNTDQA_  4u

/* <cpuid.h> does not assemble with -masm=intel everywhere. 0: no such leaf. */
static inline unsigned int peerbar_cpuid_ecx_(unsigned int leaf)
{
	unsigned int a = 0, b, c = 0, d;

	__asm__ __volatile__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < leaf)
		return 0;
	a = leaf;
	c = 0;
	__asm__ __volatile__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c;
}

/*
 * The answer is the same for whoever asks, so threads that ask at once may
 * both store it; one word, relaxed, is all it takes. Out of line, so that a
 * doorbell needs no more registers than its data.
 */
static __attribute__((noinline, cold, unused)) unsigned int peerbar_cpu_ask_(unsigned int *cached)
{
	unsigned int found = PEERBAR_CPU_KNOWN_;

	if (peerbar_cpuid_ecx_(1) & (1u << 19))
		found |= PEERBAR_CPU_MOVNTDQA_;
	if (peerbar_cpuid_ecx_(7) & (1u << 28))
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

/* What an instruction of 64 bytes reads. */
struct peerbar_line_ {
	char bytes[64];
} __attribute__((may_alias));

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
		__asm__ __volatile__("movdir64b {%1, %0|%0, %1}"
				     :
				     : "r"(dst), "m"(*(const struct peerbar_line_ *)src)
				     : "memory");
		return;
	}
#endif
	peerbar_compiler_barrier_();
	peerbar_store64_(dst, src);
	peerbar_compiler_barrier_();
}

/* Copies ------------------------------------------------------------------- */

/*
 * The pieces before and after the bulk of a copy. Each is as wide as its
 * address allows; no byte is touched twice or outside the range.
 */
static inline size_t peerbar_piece_(uintptr_t addr, size_t n)
{
	size_t size = sizeof(uint64_t);

	while (size > n || (addr & (size - 1)))
		size /= 2;
	return size;
}

static inline void peerbar_put_(volatile void *dst, const void *src, size_t size)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

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
		memcpy(&v64, src, sizeof(v64));
		peerbar_write64(dst, v64);
	}
}

static inline void peerbar_get_(void *dst, const volatile void *src, size_t size)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

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
		v64 = peerbar_read64(src);
		memcpy(dst, &v64, sizeof(v64));
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
		const __m128i *from = (const __m128i *)(const void *)src;
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

/*
 * Assembly, since the intrinsic is there only for who compiles for SSE4.1. Among
 * AVX instructions one of the older encoding may cost a change of state.
 */
#if defined(__AVX__)
#define PEERBAR_STREAM_LOAD_ "vmovntdqa"
#else
#define PEERBAR_STREAM_LOAD_ "movntdqa"
#endif

static inline __m128i peerbar_stream_load_(const volatile char *src)
{
	__m128i v;

	__asm__ __volatile__(PEERBAR_STREAM_LOAD_ " {%1, %0|%0, %1}"
			     : "=x"(v)
			     : "m"(*(const volatile __m128i *)(const volatile void *)src));
	return v;
}

static inline void peerbar_stream_lines_(char *dst, const volatile char *src, size_t n)
{
	for (; n; n -= 64, dst += 64, src += 64) {
		__m128i a = peerbar_stream_load_(src);
		__m128i b = peerbar_stream_load_(src + 16);
		__m128i c = peerbar_stream_load_(src + 32);
		__m128i d = peerbar_stream_load_(src + 48);
		__m128i *to = (__m128i *)(void *)dst;

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
		peerbar_vec_ v = *(const volatile peerbar_vec_ *)(const volatile void *)src;

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

	peerbar_compiler_barrier_();
	peerbar_put_pieces_(to, from, head);
	peerbar_put_lines_(to + head, from + head, lines);
	peerbar_put_pieces_(to + head + lines, from + head + lines, n - head - lines);
	peerbar_compiler_barrier_();
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
	__asm__ __volatile__("fence iorw, iorw" ::: "memory");
#endif
	peerbar_get_pieces_(to, from, head);
	peerbar_get_lines_(to + head, from + head, lines);
	peerbar_get_pieces_(to + head + lines, from + head + lines, n - head - lines);
	peerbar_compiler_barrier_();
}

#ifdef __cplusplus
}
#endif

#endif /* PEERBAR_MMIO_H */
