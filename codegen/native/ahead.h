/* Threads that run ahead of each other: what a step wrote into the lists of a thread is stamped, and others look for the stamp before they
 * read. The stamp lies beside the number of items, so one line of the cache travels, and it is written by nobody while others look. */
#ifndef SNN_AHEAD_H
#define SNN_AHEAD_H

/* after model.h and threads.h */

#if SNN_THREADS
static inline atomic_int *snn_stamp(const snn_list *list, int64_t slot, int thread)
{
    return (atomic_int *)(void *)(snn_count(list, slot, thread) + 1);
}

/* What this thread wrote into its part in this step is complete. */
static inline void snn_publish(snn_barrier *barrier, const snn_list *list, int32_t step, int thread, int threads)
{
    if (threads == 1) return;
    atomic_store_explicit(snn_stamp(list, snn_slot(step, 0, list->depth), thread), step + 1, memory_order_release);
    snn_rouse(barrier);
}

static inline int snn_published(const snn_list *list, int64_t slot, int32_t step, int threads)
{
    for (int of = 0; of < threads; of++)
        if (atomic_load_explicit(snn_stamp(list, slot, of), memory_order_acquire) != step + 1) return 0;
    return 1;
}

/* Until all threads have written what they write in a step. */
static inline void snn_await(snn_barrier *barrier, const snn_list *list, int32_t step, int thread, int threads)
{
    if (threads == 1) return;
    const int64_t slot = snn_slot(step, 0, list->depth);
    for (int turn = 0; turn < SNN_SPINS; turn++) {
        if (snn_published(list, slot, step, threads)) return;
        snn_pause();
    }
    snn_fall_asleep(barrier);
    while (!snn_published(list, slot, step, threads)) snn_sleep(barrier);
    snn_wake_up(barrier, thread, threads);
}

/* Lines that other threads wrote, or read before this one writes them again, are on their cores: asked for early, they come while this
 * thread computes. */
static inline void snn_expect_list(const snn_list *list, int64_t slot, int thread, int threads)
{
#if defined(__GNUC__)
    for (int of = 0; of < threads; of++)
        if (of != thread) __builtin_prefetch(snn_count(list, slot, of)), __builtin_prefetch(snn_part(list, slot, of));
#else
    (void)list, (void)slot, (void)thread, (void)threads;
#endif
}

static inline void snn_expect_own(const snn_list *list, int64_t slot, int thread, int threads)
{
#if defined(__GNUC__)
    if (threads > 1) __builtin_prefetch(snn_count(list, slot, thread), 1), __builtin_prefetch(snn_part(list, slot, thread), 1);
#else
    (void)list, (void)slot, (void)thread, (void)threads;
#endif
}

#else

static inline void snn_publish(snn_barrier *barrier, const snn_list *list, int32_t step, int thread, int threads)
{
    (void)barrier, (void)list, (void)step, (void)thread, (void)threads;
}
static inline void snn_await(snn_barrier *barrier, const snn_list *list, int32_t step, int thread, int threads)
{
    (void)barrier, (void)list, (void)step, (void)thread, (void)threads;
}
static inline void snn_expect_list(const snn_list *list, int64_t slot, int thread, int threads)
{
    (void)list, (void)slot, (void)thread, (void)threads;
}
static inline void snn_expect_own(const snn_list *list, int64_t slot, int thread, int threads)
{
    (void)list, (void)slot, (void)thread, (void)threads;
}

#endif
#endif
