/* A team of threads that runs one function side by side, and the barrier between parts of a step.
 *
 * SNN_THREADS 0 leaves threads out altogether (embedded systems without them). */
#ifndef SNN_THREADS_H
#define SNN_THREADS_H

#include <stdint.h>

#ifndef SNN_THREADS
#define SNN_THREADS 1
#endif

#if SNN_THREADS
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#define SNN_MOST_THREADS 256
#define SNN_SPINS 2000

/* Each thread has a cache line that it alone writes: how often it came, and on which core it was seen last. One line travels from one core to
 * another where a common counter would travel back and forth. */
typedef struct snn_arrivals {
    _Alignas(64) atomic_uint count;
    atomic_int core; /* and one; 0: not known */
} snn_arrivals;

typedef struct snn_barrier {
    snn_arrivals of[SNN_MOST_THREADS];
    _Alignas(64) atomic_int asleep;
    pthread_mutex_t lock;
    pthread_cond_t turned;
} snn_barrier;

/* A new thread begins where the one that made it runs, and one that slept wakes where the one that woke it runs; a scheduler may take a tenth
 * of a second to part two that hardly ever sleep. So they part by themselves, and may be moved from there as before. */
#if defined(__linux__) && defined(CPU_SETSIZE)
static int snn_here(void) { return sched_getcpu(); }

/* Go to the core that comes so many after another one, of those that this thread may use. */
static void snn_spread(int steps, int core)
{
    cpu_set_t allowed, one;
    if (core < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    const int count = CPU_COUNT(&allowed);
    if (count < 2 || steps % count == 0) return;
    int place = core % CPU_SETSIZE;
    for (int step = steps % count; step > 0;) {
        place = (place + 1) % CPU_SETSIZE;
        if (CPU_ISSET(place, &allowed)) step--;
    }
    CPU_ZERO(&one);
    CPU_SET(place, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) (void)sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int snn_here(void) { return -1; }
static void snn_spread(int steps, int core) { (void)steps, (void)core; }
#endif

static inline void snn_settle(snn_barrier *barrier, int thread)
{
    atomic_store_explicit(&barrier->of[thread].core, snn_here() + 1, memory_order_relaxed);
}

/* Leave a core on which another thread of the team was seen. */
static inline void snn_part_ways(snn_barrier *barrier, int thread, int threads)
{
    const int here = snn_here();
    int steps = 0;
    for (int of = 0; here >= 0 && of < threads; of++)
        if (of != thread && atomic_load_explicit(&barrier->of[of].core, memory_order_relaxed) == here + 1)
            steps = thread > of ? thread - of : thread - of + threads;
    if (steps > 0) snn_spread(steps, here);
    snn_settle(barrier, thread);
}

static inline int snn_make_barrier(snn_barrier *barrier)
{
    return pthread_mutex_init(&barrier->lock, NULL) == 0 && pthread_cond_init(&barrier->turned, NULL) == 0;
}

static inline int snn_all_came(snn_barrier *barrier, int threads, unsigned count)
{
    for (int of = 0; of < threads; of++)
        if ((int)(atomic_load_explicit(&barrier->of[of].count, memory_order_acquire) - count) < 0) return 0;
    return 1;
}

/* A step lasts microseconds, so a wait spins. After some microseconds another program must have the core of the thread that all wait
 * for: then sleeping lets it come back. Who comes does not wait until everybody knows before it looks for sleepers, which would cost a part of
 * every step; so it may miss one that falls asleep in this moment, who wakes by itself. */
static inline void snn_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static inline void snn_rouse(snn_barrier *barrier)
{
    if (atomic_load_explicit(&barrier->asleep, memory_order_relaxed) == 0) return;
    pthread_mutex_lock(&barrier->lock);
    pthread_cond_broadcast(&barrier->turned);
    pthread_mutex_unlock(&barrier->lock);
}

static inline void snn_fall_asleep(snn_barrier *barrier)
{
    pthread_mutex_lock(&barrier->lock);
    atomic_fetch_add(&barrier->asleep, 1);
}

static inline void snn_sleep(snn_barrier *barrier)
{
    struct timespec until;
    timespec_get(&until, TIME_UTC);
    until.tv_nsec += 500000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_cond_timedwait(&barrier->turned, &barrier->lock, &until);
}

static inline void snn_wake_up(snn_barrier *barrier, int thread, int threads)
{
    atomic_fetch_sub(&barrier->asleep, 1);
    pthread_mutex_unlock(&barrier->lock);
    snn_part_ways(barrier, thread, threads);
}

/* All meet. */
static inline void snn_wait(snn_barrier *barrier, int thread, int threads)
{
    if (threads == 1) return;
    const unsigned count = atomic_load_explicit(&barrier->of[thread].count, memory_order_relaxed) + 1;
    atomic_store_explicit(&barrier->of[thread].count, count, memory_order_release);
    snn_rouse(barrier);
    for (int turn = 0; turn < SNN_SPINS; turn++) {
        if (snn_all_came(barrier, threads, count)) return;
        snn_pause();
    }
    snn_fall_asleep(barrier);
    while (!snn_all_came(barrier, threads, count)) snn_sleep(barrier);
    snn_wake_up(barrier, thread, threads);
}

typedef void (*snn_work)(void *context, int thread, int threads);

typedef struct snn_worker {
    snn_work work;
    void *context;
    int thread, threads;
    int core;         /* where thread 0 was */
    atomic_int *gate; /* 0: wait, 1: work, -1: go home */
} snn_worker;

static void *snn_worker_main(void *given)
{
    const snn_worker *const worker = given;
    int gate;
    snn_spread(worker->thread, worker->core);
    while ((gate = atomic_load_explicit(worker->gate, memory_order_acquire)) == 0) sched_yield();
    if (gate > 0) worker->work(worker->context, worker->thread, worker->threads);
    return NULL;
}

/* work(context, thread, threads) for thread 0 .. threads - 1 at the same time: barriers inside count on all of them.
 * 0 when the system refused a thread; then nothing was run. */
static inline int snn_together(snn_work work, void *context, int threads)
{
    pthread_t made[SNN_MOST_THREADS];
    snn_worker workers[SNN_MOST_THREADS];
    atomic_int gate = 0;
    if (threads <= 1) {
        work(context, 0, 1);
        return 1;
    }
    if (threads > SNN_MOST_THREADS) return 0;
    const int core = snn_here();
    int running = 1;
    for (; running < threads; running++) {
        workers[running] = (snn_worker){work, context, running, threads, core, &gate};
        if (pthread_create(&made[running], NULL, snn_worker_main, &workers[running]) != 0) break;
    }
    const int complete = running == threads;
    atomic_store_explicit(&gate, complete ? 1 : -1, memory_order_release);
    if (complete) work(context, 0, threads);
    for (int thread = 1; thread < running; thread++) pthread_join(made[thread], NULL);
    return complete;
}

#else

typedef struct snn_barrier {
    int unused;
} snn_barrier;
typedef void (*snn_work)(void *context, int thread, int threads);

static inline int snn_make_barrier(snn_barrier *barrier) { return (void)barrier, 1; }
static inline void snn_settle(snn_barrier *barrier, int thread) { (void)barrier, (void)thread; }
static inline void snn_wait(snn_barrier *barrier, int thread, int threads) { (void)barrier, (void)thread, (void)threads; }
static inline int snn_together(snn_work work, void *context, int threads)
{
    (void)threads;
    work(context, 0, 1);
    return 1;
}

#endif
#endif
