/* --- the memory of this model ------------------------------------------------------------------------------------------ */

typedef double real;

struct snn_model {
    snn_clock *clock;
    int64_t time_offset;
    int64_t spikes_size;
    int64_t spikes_depth;
    int64_t later_depth;
    int64_t steps_size;
    int64_t at_step;
    double dt;
    alignas(8) real delays_number;
    uint64_t key_of_d; /* delay */
    uint64_t key_of_graph; /* connectivity */
    real *v;
    real *w;
    int32_t *delay;
    real *later;
    int32_t *arrived;
    int32_t *steps;
    int32_t *indices;
    snn_list spikes;
    snn_queue queue;
    snn_rows syn;
    snn_event_record record_of_spikes; /* spikes */
    snn_value_record record_of_v; /* v */
    snn_schedule steps_cursor;
};

extern "C" {
__constant__ snn_model model;
}

/* delays */
static __device__ __forceinline__ void delays(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    int32_t *__restrict__ const delay = model.delay;
    const snn_rows &rows = model.syn;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = (uint32_t)rows.pre_size*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = item/chunks;
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            delay[synapse] = (int32_t)(1 + snn_whole(model.delays_number*snn_uniform(snn_base(model.key_of_d, synapse), 0)));
        }
    }
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) setup_1(const long long at)
{
    const int32_t step = (int32_t)at;
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    delays(step, thread, threads);
}

/* The next step: empty lists, and a stop before it where a record may not hold it. */
static __device__ __forceinline__ void prepare(const int32_t step, const int32_t thread, const int32_t threads)
{
    if (thread != threads - 1) return; /* it has the least to do */
    model.spikes.counts[snn_ring(step, -1, model.spikes.ring)] = 0;
    model.queue.counts[snn_ring(step, 1, model.queue.ring)] = 0;
    snn_check_room(model.record_of_spikes, model.clock, model.spikes_size, step);
}

/* spikes: scheduled events */
static __device__ __forceinline__ void spikes_scheduled(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_follow(model.steps_cursor, model.spikes, model.steps, model.indices, model.steps_size, step, snn_ring(step, 0, model.spikes.ring), step + 1, thread, threads);
}

static __device__ __forceinline__ void stage_1(const int32_t step, const int32_t thread, const int32_t threads)
{
    spikes_scheduled(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* queue: synapses reached by spikes, later */
static __device__ __forceinline__ void queue_joined(const int32_t step, const int32_t thread, const int32_t threads)
{
    const int32_t *__restrict__ const delay = model.delay;
    const int64_t slot = snn_ring(step, 0, model.spikes.ring);
    const int32_t *const fired = model.spikes.items + slot*model.spikes.size;
    const uint32_t fired_count = (uint32_t)model.spikes.counts[slot];
    const snn_rows &rows = model.syn;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            snn_enqueue(model.queue, model.clock, 1, step, delay[synapse], synapse);
        }
    }
}

/* record spikes */
static __device__ __forceinline__ void record_spikes(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_spikes, model.spikes, snn_ring(step, 0, model.spikes.ring), step, thread, threads);
}

static __device__ __forceinline__ void stage_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    queue_joined(step, thread, threads);
    record_spikes(step, snn_dealt(thread, snn_part(threads, 1, 2), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* arrive */
static __device__ __forceinline__ void arrive(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const w = model.w;
    real *__restrict__ const v = model.v;
    int32_t *__restrict__ const arrived = model.arrived;
    const int64_t slot = snn_ring(step, 0, model.queue.ring);
    const int32_t *const fired = model.queue.items + slot*model.queue.capacity;
    const int64_t fired_count = snn_smaller(model.queue.counts[slot], model.queue.capacity);
    for (int64_t number = thread; number < fired_count; number += threads) {
        const int64_t synapse = fired[number];
        const int64_t post = ((const uint16_t *)model.syn.post)[synapse];
        atomicAdd(&v[post], (real)(w[synapse]));
        arrived[synapse] = (int32_t)(arrived[synapse] + 1);
        if (w[synapse] > 0.3) {
            w[synapse] = w[synapse]*0.9;
        }
    }
}

static __device__ __forceinline__ void stage_3(const int32_t step, const int32_t thread, const int32_t threads)
{
    arrive(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* linear */
static __device__ __forceinline__ void linear(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real *const w = model.w;
    const int32_t *__restrict__ const delay = model.delay;
    const int64_t slot = snn_ring(step, 0, model.spikes.ring);
    const int32_t *const fired = model.spikes.items + slot*model.spikes.size;
    const uint32_t fired_count = (uint32_t)model.spikes.counts[slot];
    const snn_rows &rows = model.syn;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            atomicAdd(&model.later[snn_ring(step, -delay[synapse], model.later_depth)*model.spikes_size + post], (real)(0.1*w[synapse]));
        }
    }
}

static __device__ __forceinline__ void stage_4(const int32_t step, const int32_t thread, const int32_t threads)
{
    linear(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* take */
/* later, cleared */
/* kick */
/* record v */
static __device__ __forceinline__ void kick(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *const later__now = model.later + snn_ring(step, 0, model.later_depth)*model.spikes_size;
    real *__restrict__ const v = model.v;
    real *const row__1 = (real *)model.record_of_v.rows + ((step + 1) - 1 - *model.record_of_v.base)*model.record_of_v.width;
    for (int64_t i = thread; i < model.spikes_size; i += threads) {
        /* take */
        {
            v[i] = 0.95*v[i] + later__now[i];
        }
        later__now[i] = 0.0;
        /* kick */
        if (step == model.at_step) {
            v[i] = v[i] + 0.3;
        }
        row__1[i] = v[i];
    }
}

static __device__ __forceinline__ void stage_5(const int32_t step, const int32_t thread, const int32_t threads)
{
    kick(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* The whole loop over time: all blocks stay on the device. Runs until the step at which the clock stops. */
extern "C" __global__ void __launch_bounds__(SNN_RESIDENT_THREADS) snn_resident(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    volatile long long *const stop = &model.clock->stop;
    int32_t step = (int32_t)model.clock->step;
    snn_meet(model.clock);
    for (; step < *stop; step++) {
        prepare(step, thread, threads);
        stage_1(step, thread, threads);
        snn_meet(model.clock);
        stage_2(step, thread, threads);
        snn_meet(model.clock);
        stage_3(step, thread, threads);
        snn_meet(model.clock);
        stage_4(step, thread, threads);
        snn_meet(model.clock);
        stage_5(step, thread, threads);
        snn_meet(model.clock);
    }
    if (thread == 0) model.clock->step = step;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_1(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[0];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        prepare(step, thread, threads);
        stage_1(step, thread, threads);
    }
    if (thread == 0) model.clock->at[1] = now;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_2(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[1];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        stage_2(step, thread, threads);
    }
    if (thread == 0) model.clock->at[2] = now;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_3(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[2];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        stage_3(step, thread, threads);
    }
    if (thread == 0) model.clock->at[3] = now;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_4(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[3];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        stage_4(step, thread, threads);
    }
    if (thread == 0) model.clock->at[4] = now;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_5(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[4];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        stage_5(step, thread, threads);
    }
    if (thread == 0) model.clock->at[0] = now + runs;
}
