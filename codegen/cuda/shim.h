/* CUDA on a processor, for tests: a generated .cu text is compiled with a C++ compiler and this header before it (-include), and its
 * kernels run thread by thread.
 *
 * A thread runs until it must wait: at __syncthreads, at the barrier of the grid, for the other lanes of its warp, or in __nanosleep (how a
 * loop says that it waits for others). It then keeps its stack (a fiber), and the next one goes on; threads that never wait share one
 * fiber and cost a function call. Blocks of an ordinary kernel run one after another, those of a cooperative one all together. Memory is
 * that of the process, atomics are plain, and everything happens in one fixed order: ascending, or permuted by snn_shim_order(k), where
 * __activemask also gathers the lanes that stand at the same place, while in the ascending order a lane sees itself alone. Both are
 * allowed on a device, and so a text that needs an order it did not ask for gives other results here. Shared memory starts as nan.
 *
 * What a device would not survive is an error with a sentence: threads of a block at different barriers, a barrier that not all reach, a
 * wait without end, too many threads. Not here: dynamic shared memory, textures, more than one dimension, streams.
 */
#ifndef SNN_SHIM
#define SNN_SHIM 1

#undef _FORTIFY_SOURCE /* its longjmp refuses to change stacks */
#if !defined _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* --- words of the language ----------------------------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static __attribute__((section("snn_shared")))
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

/* Not static, and written by a function that others may call: no compiler may remember them across a barrier. */
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
static const int warpSize = 32;

/* --- the scheduler ------------------------------------------------------------------------------------------------------- */

enum { SNN_NEW, SNN_READY, SNN_RUNNING, SNN_AT_BARRIER, SNN_AT_GRID, SNN_AT_WARP, SNN_GATHERING, SNN_DONE };
enum { SNN_STACK = 128*1024, SNN_GUARD = 4096, SNN_MOST_IDLE_ROUNDS = 100000 };

struct snn_fiber {
    jmp_buf place;
    char *stack;
    snn_fiber *next; /* in the list of those without work */
};

struct snn_thread {
    snn_fiber *fiber;
    int state, line;
    unsigned mask;       /* of the lanes it waits for, then of those that came or were gathered */
    uint64_t given;      /* what it shows to its warp */
};

struct snn_group {
    int64_t alive, waiting;
    int line; /* where those that wait stand */
};

typedef void (*snn_kernel)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

struct snn_scheduler {
    jmp_buf place;
    snn_kernel kernel;
    int64_t arguments[8];
    int64_t block, blocks, first_block; /* threads of a block; how many blocks run together, and the first of them */
    int64_t count, position, current;   /* threads that run together; the next one to start; the one that runs */
    int64_t shared_block;               /* whose shared memory is in its place */
    snn_thread *threads;
    uint64_t *seen; /* what the lanes of its warp showed, for every thread */
    int64_t *order;
    snn_group *groups; /* per block, the last one of the grid */
    char *shared;      /* of every block that runs, while another one has the place */
    snn_fiber *idle;
    uint64_t seed;
    int progress;
    char error[256];
};

static snn_scheduler snn_it;
static __attribute__((used, section("snn_shared"))) uint64_t snn_shared_first = 1;
extern "C" __attribute__((visibility("hidden"))) char __start_snn_shared[], __stop_snn_shared[];

static void snn_fail(const char *message)
{
    if (!snn_it.error[0]) snprintf(snn_it.error, sizeof snn_it.error, "%s", message);
}

/* Leave one stack and go on with another one. */
static __attribute__((noinline)) void snn_switch(jmp_buf from, jmp_buf to)
{
    if (!_setjmp(from)) _longjmp(to, 1);
}

static void snn_give_up(const char *message)
{
    snn_fail(message);
    _longjmp(snn_it.place, 1); /* the scheduler sees the error; the fiber is forgotten */
}

static size_t snn_shared_size(void) { return (size_t)(__stop_snn_shared - __start_snn_shared); }

static void snn_enter(int64_t number)
{
    const int64_t block = number/snn_it.block;
    if (block != snn_it.shared_block && snn_it.blocks > 1) {
        const size_t size = snn_shared_size();
        if (snn_it.shared_block >= 0) memcpy(snn_it.shared + snn_it.shared_block*size, __start_snn_shared, size);
        memcpy(__start_snn_shared, snn_it.shared + block*size, size);
    }
    snn_it.shared_block = block;
    snn_it.current = number;
    snn_it.threads[number].state = SNN_RUNNING;
    threadIdx.x = (unsigned)(number%snn_it.block);
    blockIdx.x = (unsigned)(snn_it.first_block + block);
}

static void snn_release(int64_t first, int64_t count, int state)
{
    for (int64_t i = first; i < first + count; i++)
        if (snn_it.threads[i].state == state) snn_it.threads[i].state = SNN_READY;
}

/* Whoever waits in a group goes on when all that live have come. */
static void snn_check_group(int64_t which)
{
    snn_group *group = &snn_it.groups[which];
    if (!group->waiting || group->waiting < group->alive) return;
    group->waiting = 0;
    if (which == snn_it.blocks) snn_release(0, snn_it.count, SNN_AT_GRID);
    else snn_release(which*snn_it.block, snn_it.block, SNN_AT_BARRIER);
    snn_it.progress = 1;
}

/* The lanes of a warp that exist, as a mask, and its first thread. */
static unsigned snn_warp(int64_t number, int64_t *first)
{
    const int64_t start = number/snn_it.block*snn_it.block, lane0 = (number - start)/32*32;
    const int64_t lanes = snn_it.block - lane0 < 32 ? snn_it.block - lane0 : 32;
    *first = start + lane0;
    return lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
}

/* Lanes that wait for each other with one mask go on when all of them that live are there; each has seen what the others showed. */
static void snn_check_warp(int64_t number, unsigned mask)
{
    int64_t first;
    unsigned present = snn_warp(number, &first) & mask;
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1) {
            const snn_thread *other = &snn_it.threads[first + lane];
            if (other->state == SNN_DONE) present &= ~(1u << lane);
            else if (other->state != SNN_AT_WARP || other->mask != mask) return;
        }
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1) {
            snn_thread *one = &snn_it.threads[first + lane];
            for (int other = 0; other < 32; other++)
                if (present >> other & 1) snn_it.seen[(first + lane)*32 + other] = snn_it.threads[first + other].given;
            one->mask = present;
            one->state = SNN_READY;
        }
    snn_it.progress = 1;
}

/* Those of a warp that stand at the same __activemask become one group, once no other lane of the warp can come. */
static void snn_gather(int64_t number)
{
    int64_t first;
    const unsigned present = snn_warp(number, &first);
    const int line = snn_it.threads[number].line;
    unsigned mask = 0;
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1) {
            const snn_thread *other = &snn_it.threads[first + lane];
            if (other->state == SNN_NEW || other->state == SNN_READY) return;
            if (other->state == SNN_GATHERING && other->line == line) mask |= 1u << lane;
        }
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) {
            snn_it.threads[first + lane].mask = mask;
            snn_it.threads[first + lane].state = SNN_READY;
        }
    snn_it.progress = 1;
}

static void snn_ended(int64_t number)
{
    const int64_t block = number/snn_it.block;
    snn_it.threads[number].state = SNN_DONE;
    snn_it.groups[block].alive--;
    snn_it.groups[snn_it.blocks].alive--;
    snn_it.progress = 1;
    snn_check_group(block);
    snn_check_group(snn_it.blocks);
    int64_t first;
    const unsigned present = snn_warp(number, &first);
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1 && snn_it.threads[first + lane].state == SNN_AT_WARP)
            snn_check_warp(first + lane, snn_it.threads[first + lane].mask);
}

/* The life of a fiber: it runs threads until there is none to start, and then waits to be given another one. */
static void snn_live(void)
{
    for (;;) {
        const int64_t number = snn_it.current;
        const int64_t *a = snn_it.arguments;
        snn_fiber *own = snn_it.threads[number].fiber;
        snn_it.kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
        snn_ended(number);
        if (snn_it.position < snn_it.count) {
            const int64_t next = snn_it.order[snn_it.position++];
            snn_it.threads[next].fiber = own;
            snn_enter(next);
            continue;
        }
        own->next = snn_it.idle;
        snn_it.idle = own;
        snn_switch(own->place, snn_it.place);
    }
}

static void snn_start(int64_t number)
{
    snn_fiber *fiber = snn_it.idle;
    if (fiber) {
        snn_it.idle = fiber->next;
        snn_it.threads[number].fiber = fiber;
        snn_enter(number);
        snn_switch(snn_it.place, fiber->place);
        return;
    }
    fiber = (snn_fiber *)calloc(1, sizeof *fiber);
    void *stack = mmap(NULL, SNN_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ucontext_t context;
    if (!fiber || stack == MAP_FAILED || getcontext(&context)) {
        snn_fail("no memory for the stack of a thread");
        return;
    }
    mprotect(stack, SNN_GUARD, PROT_NONE);
    fiber->stack = (char *)stack;
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = SNN_STACK;
    context.uc_link = NULL;
    makecontext(&context, snn_live, 0);
    snn_it.threads[number].fiber = fiber;
    snn_enter(number);
    if (!_setjmp(snn_it.place)) setcontext(&context);
}

/* Let the others run; comes back when the thread may go on. */
static void snn_suspend(void)
{
    const int64_t number = snn_it.current;
    snn_switch(snn_it.threads[number].fiber->place, snn_it.place);
}

static void snn_wait(int state, int line, int64_t which)
{
    snn_thread *own = &snn_it.threads[snn_it.current];
    snn_group *group = &snn_it.groups[which];
    if (group->waiting && group->line != line) snn_give_up("threads wait for each other at different barriers");
    group->line = line;
    own->state = state;
    group->waiting++;
    snn_check_group(which);
    if (own->state == SNN_READY) own->state = SNN_RUNNING;
    else snn_suspend();
}

static __attribute__((noinline)) void snn_block_barrier(int line) { snn_wait(SNN_AT_BARRIER, line, snn_it.current/snn_it.block); }
static __attribute__((noinline)) void snn_grid_wait(int line)
{
    if (snn_it.blocks == 1 && gridDim.x > 1) snn_give_up("a barrier of the grid in a kernel that was not launched as cooperative");
    snn_wait(SNN_AT_GRID, line, snn_it.blocks);
}

#define __syncthreads() snn_block_barrier(__LINE__)
/* The barrier of the grid; a device does it with atomics, or by cooperative groups. */
#define snn_shim_grid_barrier() snn_grid_wait(__LINE__)

static __attribute__((noinline)) void __nanosleep(unsigned)
{
    snn_it.threads[snn_it.current].state = SNN_READY;
    snn_suspend();
}

/* --- a launch ------------------------------------------------------------------------------------------------------------ */

static uint64_t snn_shuffle_word(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30))*0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27))*0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static void snn_shuffle(int64_t *values, int64_t count, uint64_t *state)
{
    for (int64_t i = 0; i < count; i++) values[i] = i;
    for (int64_t i = count - 1; i > 0 && snn_it.seed; i--) {
        const int64_t j = (int64_t)(snn_shuffle_word(state)%(uint64_t)(i + 1)), kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}

/* Run the threads of some blocks to their ends. */
static void snn_run_blocks(void)
{
    int64_t idle_rounds = 0;
    snn_it.position = 0;
    while (snn_it.position < snn_it.count && !snn_it.error[0]) snn_start(snn_it.order[snn_it.position++]);
    while (!snn_it.error[0] && snn_it.groups[snn_it.blocks].alive) {
        snn_it.progress = 0;
        int ran = 0;
        for (int64_t i = 0; i < snn_it.count && !snn_it.error[0]; i++) {
            const int64_t number = snn_it.order[i];
            if (snn_it.threads[number].state == SNN_GATHERING) snn_gather(number);
            if (snn_it.threads[number].state != SNN_READY) continue;
            ran = 1;
            snn_enter(number);
            snn_switch(snn_it.place, snn_it.threads[number].fiber->place);
        }
        if (snn_it.error[0] || snn_it.progress) {
            idle_rounds = 0;
            continue;
        }
        if (!ran) snn_fail("threads wait at a barrier that the others never reach");
        else if (++idle_rounds > SNN_MOST_IDLE_ROUNDS) snn_fail("threads wait for something that never happens");
    }
}

/* Launch a kernel whose arguments are 64-bit integers, and wait for it. 0, or -1 with a sentence in snn_shim_error. */
extern "C" int snn_shim_launch(void *kernel, int64_t grid, int64_t block, const int64_t *arguments, int64_t count, int cooperative)
{
    snn_it.error[0] = 0;
    if (grid < 1 || grid > 2147483647 || block < 1 || block > 1024 || count < 0 || count > 8) {
        snn_fail("invalid configuration: blocks, threads or arguments");
        return -1;
    }
    snn_it.kernel = (snn_kernel)kernel;
    for (int64_t i = 0; i < 8; i++) snn_it.arguments[i] = i < count ? arguments[i] : 0;
    blockDim = dim3((unsigned)block);
    gridDim = dim3((unsigned)grid);
    threadIdx.y = threadIdx.z = blockIdx.y = blockIdx.z = 0;
    snn_it.block = block;
    snn_it.blocks = cooperative ? grid : 1;
    snn_it.count = snn_it.blocks*block;
    const size_t shared = snn_shared_size();
    snn_it.threads = (snn_thread *)malloc(sizeof(snn_thread)*(size_t)snn_it.count);
    snn_it.seen = (uint64_t *)malloc(sizeof(uint64_t)*32*(size_t)snn_it.count);
    snn_it.order = (int64_t *)malloc(sizeof(int64_t)*(size_t)snn_it.count);
    snn_it.groups = (snn_group *)malloc(sizeof(snn_group)*(size_t)(snn_it.blocks + 1));
    snn_it.shared = (char *)malloc(shared*(size_t)snn_it.blocks);
    int64_t *turn = (int64_t *)malloc(sizeof(int64_t)*(size_t)grid);
    if (!snn_it.threads || !snn_it.seen || !snn_it.order || !snn_it.groups || !snn_it.shared || !turn) snn_fail("no memory for the threads");
    uint64_t state = snn_it.seed;
    if (!snn_it.error[0]) snn_shuffle(turn, grid, &state);
    for (int64_t first = 0; first < grid && !snn_it.error[0]; first += snn_it.blocks) {
        snn_it.first_block = cooperative ? 0 : turn[first];
        for (int64_t b = 0; b < snn_it.blocks; b++) {
            int64_t *part = snn_it.order + b*block;
            snn_shuffle(part, block, &state);
            for (int64_t i = 0; i < block; i++) part[i] += (cooperative ? turn[b] : 0)*block;
            snn_it.groups[b].alive = block;
            snn_it.groups[b].waiting = 0;
        }
        snn_it.groups[snn_it.blocks].alive = snn_it.count;
        snn_it.groups[snn_it.blocks].waiting = 0;
        for (int64_t i = 0; i < snn_it.count; i++) snn_it.threads[i].state = SNN_NEW;
        memset(__start_snn_shared, 0xff, shared);
        memset(snn_it.shared, 0xff, shared*(size_t)snn_it.blocks);
        snn_it.shared_block = -1;
        snn_run_blocks();
    }
    if (snn_it.error[0]) snn_it.idle = NULL; /* fibers in the middle of something are never used again */
    free(snn_it.threads);
    free(snn_it.seen);
    free(snn_it.order);
    free(snn_it.groups);
    free(snn_it.shared);
    free(turn);
    return snn_it.error[0] ? -1 : 0;
}

extern "C" const char *snn_shim_error(void) { return snn_it.error; }

/* In which order threads and blocks run: 0 ascending, else permuted. */
extern "C" void snn_shim_order(uint64_t seed) { snn_it.seed = seed; }

/* Bytes of the variable at an address, 0 where there is none. */
extern "C" int64_t snn_shim_size(void *address)
{
    Dl_info about;
    const ElfW(Sym) *symbol = NULL;
    if (!dladdr1(address, &about, (void **)&symbol, RTLD_DL_SYMENT) || !symbol) return 0;
    return (int64_t)symbol->st_size;
}

/* Give the stacks back before the library goes. */
extern "C" void snn_shim_close(void)
{
    while (snn_it.idle) {
        snn_fiber *gone = snn_it.idle;
        snn_it.idle = gone->next;
        munmap(gone->stack, SNN_STACK);
        free(gone);
    }
}

/* --- lanes of a warp ----------------------------------------------------------------------------------------------------- */

static inline unsigned snn_lane(void) { return threadIdx.x & 31; }

/* Show a value to the lanes of a mask and see theirs. */
static __attribute__((noinline)) const uint64_t *snn_meet(unsigned mask, uint64_t given)
{
    snn_thread *own = &snn_it.threads[snn_it.current];
    if (!(mask >> snn_lane() & 1)) snn_give_up("a lane calls a function of its warp with a mask that does not name it");
    uint64_t *seen = snn_it.seen + snn_it.current*32;
    own->given = seen[snn_lane()] = given;
    own->mask = mask;
    if (mask == 1u << snn_lane()) return seen;
    own->state = SNN_AT_WARP;
    snn_check_warp(snn_it.current, mask);
    if (own->state == SNN_READY) own->state = SNN_RUNNING;
    else snn_suspend();
    return seen;
}

static __attribute__((noinline)) unsigned snn_active(int line)
{
    snn_thread *own = &snn_it.threads[snn_it.current];
    if (!snn_it.seed) return 1u << snn_lane();
    own->state = SNN_GATHERING;
    own->line = line;
    snn_suspend();
    return own->mask;
}

/* The lanes that came to the last meeting. */
static inline unsigned snn_met(void) { return snn_it.threads[snn_it.current].mask; }

#define __activemask() snn_active(__LINE__)
static inline void __syncwarp(unsigned mask = 0xffffffffu) { snn_meet(mask, 0); }

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    const uint64_t *seen = snn_meet(mask, predicate != 0);
    const unsigned present = snn_met();
    unsigned result = 0;
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1 && seen[lane]) result |= 1u << lane;
    return result;
}

static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <typename T> static inline T snn_shuffle_from(unsigned mask, T value, int source)
{
    uint64_t given = 0;
    T result;
    memcpy(&given, &value, sizeof value);
    const uint64_t *seen = snn_meet(mask, given);
    if (source < 0 || source > 31 || !(snn_met() >> source & 1)) return value; /* undefined on a device */
    memcpy(&result, &seen[source], sizeof result);
    return result;
}

template <typename T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    const int lane = (int)snn_lane();
    return snn_shuffle_from(mask, value, (lane & ~(width - 1)) + (source & (width - 1)));
}

template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    const int lane = (int)snn_lane(), source = lane - (int)delta;
    return snn_shuffle_from(mask, value, source < (lane & ~(width - 1)) ? lane : source);
}

template <typename T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    const int lane = (int)snn_lane(), source = lane + (int)delta;
    return snn_shuffle_from(mask, value, source > (lane | (width - 1)) ? lane : source);
}

template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32)
{
    const int lane = (int)snn_lane(), source = lane ^ lanes;
    return snn_shuffle_from(mask, value, source > (lane | (width - 1)) ? lane : source);
}

template <typename T> static inline unsigned __match_any_sync(unsigned mask, T value)
{
    uint64_t given = 0;
    memcpy(&given, &value, sizeof value);
    const uint64_t *seen = snn_meet(mask, given);
    const unsigned present = snn_met();
    unsigned result = 0;
    for (int lane = 0; lane < 32; lane++)
        if (present >> lane & 1 && seen[lane] == given) result |= 1u << lane;
    return result;
}

/* --- memory: exactly the types that a device has atomics for -------------------------------------------------------------- */

static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}
static inline void __threadfence_system(void) {}

#define SNN_ATOMIC(T, name, expression)            \
    static inline T name(T *place, T value)        \
    {                                              \
        const T old = *place;                      \
        *place = (expression);                     \
        return old;                                \
    }
#define SNN_ATOMIC_WHOLE(name, expression)      \
    SNN_ATOMIC(int, name, expression)           \
    SNN_ATOMIC(unsigned, name, expression)      \
    SNN_ATOMIC(unsigned long long, name, expression)
SNN_ATOMIC_WHOLE(atomicAdd, old + value)
SNN_ATOMIC(float, atomicAdd, old + value)
SNN_ATOMIC(double, atomicAdd, old + value)
SNN_ATOMIC(int, atomicSub, old - value)
SNN_ATOMIC(unsigned, atomicSub, old - value)
SNN_ATOMIC_WHOLE(atomicExch, value)
SNN_ATOMIC(float, atomicExch, value)
SNN_ATOMIC_WHOLE(atomicMin, old < value ? old : value)
SNN_ATOMIC(long long, atomicMin, old < value ? old : value)
SNN_ATOMIC_WHOLE(atomicMax, old > value ? old : value)
SNN_ATOMIC(long long, atomicMax, old > value ? old : value)
SNN_ATOMIC_WHOLE(atomicAnd, old & value)
SNN_ATOMIC_WHOLE(atomicOr, old | value)
SNN_ATOMIC_WHOLE(atomicXor, old ^ value)
SNN_ATOMIC(unsigned, atomicInc, old >= value ? 0 : old + 1)
SNN_ATOMIC(unsigned, atomicDec, old == 0 || old > value ? value : old - 1)

#define SNN_ATOMIC_SWAP(T)                                     \
    static inline T atomicCAS(T *place, T expected, T value)   \
    {                                                          \
        const T old = *place;                                  \
        if (old == expected) *place = value;                   \
        return old;                                            \
    }
SNN_ATOMIC_SWAP(int)
SNN_ATOMIC_SWAP(unsigned)
SNN_ATOMIC_SWAP(unsigned long long)
SNN_ATOMIC_SWAP(unsigned short)

template <typename T> static inline T __ldg(const T *place) { return *place; }
template <typename T> static inline T __ldcg(const T *place) { return *place; }
template <typename T> static inline T __ldcs(const T *place) { return *place; }
template <typename T> static inline void __stcg(T *place, T value) { *place = value; }
template <typename T> static inline void __stcs(T *place, T value) { *place = value; }

/* --- numbers ------------------------------------------------------------------------------------------------------------- */

#define SNN_SMALLER(T)                                              \
    static inline T min(T a, T b) { return b < a ? b : a; }         \
    static inline T max(T a, T b) { return a < b ? b : a; }
SNN_SMALLER(int)
SNN_SMALLER(unsigned)
SNN_SMALLER(long)
SNN_SMALLER(unsigned long)
SNN_SMALLER(long long)
SNN_SMALLER(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

template <typename T, typename S> static inline T snn_same_bits(S value)
{
    T result;
    memcpy(&result, &value, sizeof result);
    return result;
}

static inline int __float_as_int(float x) { return snn_same_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return snn_same_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return snn_same_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return snn_same_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return snn_same_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return snn_same_bits<double>(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a*b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a*b >> 64);
}

/* Rounded one by one: -ffp-contract=off does what these promise. */
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a*b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fdividef(float a, float b) { return a/b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a*b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

static inline float __fdiv_rn(float a, float b) { return a/b; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline double __ddiv_rn(double a, double b) { return a/b; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }

static inline float rsqrtf(float x) { return 1.0f/sqrtf(x); }
static inline double rsqrt(double x) { return 1.0/sqrt(x); }

/* Exact at every quarter turn, as on a device. */
static inline double snn_turns(double x, int shift)
{
    if (!(fabs(x) <= 1.7976931348623157e308)) return NAN;
    x -= 2.0*nearbyint(0.5*x); /* -1 .. 1 */
    const int quarter = (int)nearbyint(2.0*x);
    const double rest = 3.14159265358979323846*(x - 0.5*quarter);
    switch ((quarter + shift) & 3) {
    case 0: return sin(rest);
    case 1: return cos(rest);
    case 2: return -sin(rest);
    default: return -cos(rest);
    }
}

static inline double sinpi(double x) { return snn_turns(x, 0); }
static inline double cospi(double x) { return snn_turns(x, 1) + 0.0; }
static inline float sinpif(float x) { return (float)snn_turns(x, 0); }
static inline float cospif(float x) { return (float)(snn_turns(x, 1) + 0.0); }
static inline void sincospi(double x, double *s, double *c) { *s = sinpi(x); *c = cospi(x); }
static inline void sincospif(float x, float *s, float *c) { *s = sinpif(x); *c = cospif(x); }

#define __trap() snn_give_up("__trap() was called")
#define __brkpt() ((void)0)

#endif
