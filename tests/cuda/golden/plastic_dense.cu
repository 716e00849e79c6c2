/* --- the memory of this model ------------------------------------------------------------------------------------------ */

typedef double real;

struct snn_model {
    snn_clock *clock;
    int64_t time_offset;
    int64_t spikes_size;
    int64_t spikes_depth;
    int64_t period;
    int64_t period_2;
    double dt;
    uint64_t key_of_drive; /* drive */
    uint64_t key_of_w_start; /* w */
    uint64_t key_of_graph; /* connectivity */
    real *v;
    real *x;
    real *y;
    real *w;
    real *w_max;
    real *total;
    real *most;
    int32_t *number_;
    real *out;
    real *average;
    real *changed;
    int32_t *age;
    snn_list spikes;
    snn_grid syn;
    snn_event_record record_of_spikes; /* spikes */
    snn_value_record record_of_w; /* w */
};

extern "C" {
__constant__ snn_model model;
}

/* initial */
static __device__ __forceinline__ void initial_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    real *__restrict__ const w = model.w;
    const snn_grid &grid = model.syn;
    const int32_t team = (int32_t)grid.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)grid.row_chunks, item_count = (uint32_t)grid.rows*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t row = item/chunks;
        const int64_t pre = grid.pre_first + row;
        const int64_t first = (int64_t)(item%chunks)*grid.row_chunk;
        const int64_t stop = snn_smaller(grid.columns, first + grid.row_chunk);
        for (int64_t column = first + member; column < stop; column += 1 << team) {
            const int64_t post = grid.post_first + column;
            if (pre == post) continue; /* i -> i is left out */
            const int64_t synapse = row*grid.columns + column;
            w[synapse] = 0.5*snn_uniform(snn_base(model.key_of_w_start, synapse), 0);
        }
    }
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) setup_1(const long long at)
{
    const int32_t step = (int32_t)at;
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    initial_2(step, thread, threads);
}

/* The next step: empty lists, and a stop before it where a record may not hold it. */
static __device__ __forceinline__ void prepare(const int32_t step, const int32_t thread, const int32_t threads)
{
    if (thread != threads - 1) return; /* it has the least to do */
    model.spikes.counts[snn_ring(step, -1, model.spikes.ring)] = 0;
    snn_check_room(model.record_of_spikes, model.clock, model.spikes_size, step);
}

/* advance */
/* events */
static __device__ __forceinline__ void events(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const v = model.v;
    real *__restrict__ const x = model.x;
    real *__restrict__ const y = model.y;
    for (int64_t i = thread; i < model.spikes_size; i += threads) {
        /* advance */
        {
            v[i] = 0.8*v[i] + snn_uniform(snn_base(model.key_of_drive, i), (int64_t)step);
            x[i] = 0.9*x[i];
            y[i] = 0.85*y[i];
        }
        /* events */
        {
            if (v[i] > 2.6) {
                snn_append(model.spikes, snn_ring(step, 0, model.spikes.ring), (int32_t)i);
                v[i] = 0.0;
            }
        }
    }
}

/* number = count of synapses per post */
static __device__ __forceinline__ void number_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_reduce_grid(SNN_COUNT, model.number_, model.spikes_size, (const real *)nullptr, model.syn, 0, 0, 1, thread, threads);
}

static __device__ __forceinline__ void stage_1(const int32_t step, const int32_t thread, const int32_t threads)
{
    events(step, thread, threads);
    number_reduced(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* on pre */
static __device__ __forceinline__ void on_pre(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const w = model.w;
    real *__restrict__ const v = model.v;
    const real *const y = model.y;
    const real w_max = *model.w_max;
    const int64_t slot = snn_ring(step, 0, model.spikes.ring);
    const int32_t *const fired = model.spikes.items + slot*model.spikes.size;
    const uint32_t fired_count = (uint32_t)model.spikes.counts[slot];
    const snn_grid &grid = model.syn;
    const int32_t team = (int32_t)grid.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)grid.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t row = pre - grid.pre_first;
        if (row < 0 || row >= grid.rows) continue;
        const int64_t first = (int64_t)(item%chunks)*grid.row_chunk;
        const int64_t stop = snn_smaller(grid.columns, first + grid.row_chunk);
        for (int64_t column = first + member; column < stop; column += 1 << team) {
            const int64_t post = grid.post_first + column;
            if (pre == post) continue; /* i -> i is left out */
            const int64_t synapse = row*grid.columns + column;
            /* deliver w */
            atomicAdd(&v[post], (real)(0.2*w[synapse]));
            /* w += A_post*y */
            w[synapse] = snn_clip(w[synapse] - 0.05*y[post], 0.0, w_max);
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
    on_pre(step, thread, threads);
    record_spikes(step, snn_dealt(thread, snn_part(threads, 1, 2), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* on post */
static __device__ __forceinline__ void on_post(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const w = model.w;
    const real *const x = model.x;
    const real w_max = *model.w_max;
    int32_t *__restrict__ const age = model.age;
    real *__restrict__ const out = model.out;
    const int64_t slot = snn_ring(step, 0, model.spikes.ring);
    const int32_t *const fired = model.spikes.items + slot*model.spikes.size;
    const uint32_t fired_count = (uint32_t)model.spikes.counts[slot];
    const snn_grid &grid = model.syn;
    const int32_t team = (int32_t)grid.column_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)grid.column_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t post = fired[item/chunks];
        const int64_t column = post - grid.post_first;
        if (column < 0 || column >= grid.columns) continue;
        const int64_t first = (int64_t)(item%chunks)*grid.column_chunk;
        const int64_t stop = snn_smaller(grid.rows, first + grid.column_chunk);
        for (int64_t row = first + member; row < stop; row += 1 << team) {
            const int64_t pre = grid.pre_first + row;
            if (pre == post) continue; /* i -> i is left out */
            const int64_t synapse = row*grid.columns + column;
            /* w += A_pre*x */
            w[synapse] = snn_clip(w[synapse] + 0.05*x[pre], 0.0, w_max);
            if (x[pre] > 0.5) {
                age[synapse] = (int32_t)(age[synapse] + 1);
            }
            atomicAdd(&out[pre], (real)(w[synapse]*0.1*x[pre]));
        }
    }
}

static __device__ __forceinline__ void stage_3(const int32_t step, const int32_t thread, const int32_t threads)
{
    on_post(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* traces */
static __device__ __forceinline__ void traces(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const x = model.x;
    real *__restrict__ const y = model.y;
    const int64_t slot = snn_ring(step, 0, model.spikes.ring);
    const int32_t *const fired = model.spikes.items + slot*model.spikes.size;
    const uint32_t fired_count = (uint32_t)model.spikes.counts[slot];
    for (uint32_t number = (uint32_t)thread; number < fired_count; number += (uint32_t)threads) {
        const int64_t i = fired[number];
        x[i] = x[i] + 1.0;
        y[i] = 1.0;
    }
}

/* total = sum of w per post */
static __device__ __forceinline__ void total_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_reduce_grid(SNN_SUM, model.total, model.spikes_size, (const real *)model.w, model.syn, 0, 0, 1, thread, threads);
}

/* most = max of w per pre */
static __device__ __forceinline__ void most_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_reduce_grid(SNN_MAX, model.most, model.spikes_size, (const real *)model.w, model.syn, 0, 0, 0, thread, threads);
}

/* average = mean of w per pre */
static __device__ __forceinline__ void average_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_reduce_grid(SNN_MEAN, model.average, model.spikes_size, (const real *)model.w, model.syn, 0, 0, 0, thread, threads);
}

static __device__ __forceinline__ void stage_4(const int32_t step, const int32_t thread, const int32_t threads)
{
    traces(step, thread, threads);
    total_reduced(step, snn_dealt(thread, snn_part(threads, 1, 4), threads), threads);
    most_reduced(step, snn_dealt(thread, snn_part(threads, 2, 4), threads), threads);
    average_reduced(step, snn_dealt(thread, snn_part(threads, 3, 4), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* scale */
static __device__ __forceinline__ void scale(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    real *__restrict__ const w = model.w;
    const real *const total = model.total;
    real *__restrict__ const changed = model.changed;
    const real *const most = model.most;
    const snn_grid &grid = model.syn;
    const int32_t team = (int32_t)grid.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)grid.row_chunks, item_count = (uint32_t)grid.rows*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t row = item/chunks;
        const int64_t pre = grid.pre_first + row;
        const int64_t first = (int64_t)(item%chunks)*grid.row_chunk;
        const int64_t stop = snn_smaller(grid.columns, first + grid.row_chunk);
        for (int64_t column = first + member; column < stop; column += 1 << team) {
            const int64_t post = grid.post_first + column;
            if (pre == post) continue; /* i -> i is left out */
            const int64_t synapse = row*grid.columns + column;
            const real new_2 = w[synapse]/(0.5 + 0.1*total[post]);
            atomicAdd(&changed[0], (real)(new_2 - w[synapse]));
            if (most[pre] > 0.2) {
                w[synapse] = new_2;
            }
        }
    }
}

static __device__ __forceinline__ void stage_5(const int32_t step, const int32_t thread, const int32_t threads)
{
    scale(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* record w */
static __device__ __forceinline__ void record_w(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real *const w = model.w;
    real *const row__1 = (real *)model.record_of_w.rows + ((step + 1)/(int32_t)model.period_2 - 1 - *model.record_of_w.base)*model.record_of_w.width;
    for (int64_t number = thread; number < model.record_of_w.width; number += threads) {
        row__1[number] = w[model.record_of_w.chosen[number]];
    }
}

static __device__ __forceinline__ void stage_6(const int32_t step, const int32_t thread, const int32_t threads)
{
    record_w(step, thread, threads);
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
        if (snn_every(step, model.period)) {
            stage_5(step, thread, threads);
            snn_meet(model.clock);
        }
        if (snn_every(step, model.period_2)) {
            stage_6(step, thread, threads);
            snn_meet(model.clock);
        }
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
        if (snn_every(step, model.period)) stage_5(step, thread, threads);
    }
    if (thread == 0) model.clock->at[5] = now;
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) step_6(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    const long long now = model.clock->at[5];
    const bool runs = now < model.clock->stop;
    if (runs) {
        const int32_t step = (int32_t)now;
        if (snn_every(step, model.period_2)) stage_6(step, thread, threads);
    }
    if (thread == 0) model.clock->at[0] = now + runs;
}
