/* --- the memory of this model ------------------------------------------------------------------------------------------ */

typedef double real;

struct snn_model {
    snn_clock *clock;
    int64_t time_offset;
    int64_t E_size;
    int64_t E_spike_depth;
    int64_t I_size;
    int64_t I_spike_depth;
    int64_t period;
    double dt;
    uint64_t key_of_E_v0; /* v */
    uint64_t key_of_I_v0; /* v */
    uint64_t key_of_E_E; /* connectivity */
    uint64_t key_of_E_I; /* connectivity */
    uint64_t key_of_I_E; /* connectivity */
    uint64_t key_of_I_I; /* connectivity */
    real *E_v; /* E.v [mV] */
    real *E_ge; /* E.ge [mV] */
    real *E_gi; /* E.gi [mV] */
    int32_t *E_v_until;
    real *E_tau_m; /* E.tau_m */
    real *E_tau_e; /* E.tau_e */
    real *E_tau_i; /* E.tau_i */
    real *E_E_L; /* E.E_L */
    real *E_v_th; /* E.v_th */
    real *E_v_reset; /* E.v_reset */
    real *E_decay_v;
    real *E_decay_ge;
    real *E_decay_gi;
    real *E_from_ge;
    real *E_from_gi;
    int32_t *E_t_ref_steps;
    real *I_v; /* I.v [mV] */
    real *I_ge; /* I.ge [mV] */
    real *I_gi; /* I.gi [mV] */
    int32_t *I_v_until;
    real *I_tau_m; /* I.tau_m */
    real *I_tau_e; /* I.tau_e */
    real *I_tau_i; /* I.tau_i */
    real *I_E_L; /* I.E_L */
    real *I_v_th; /* I.v_th */
    real *I_v_reset; /* I.v_reset */
    real *I_decay_v;
    real *I_decay_ge;
    real *I_decay_gi;
    real *I_from_ge;
    real *I_from_gi;
    int32_t *I_t_ref_steps;
    real *E_E_w;
    real *E_I_w;
    real *I_E_w;
    real *I_I_w;
    snn_list E_spike;
    snn_list I_spike;
    snn_rows E_E;
    snn_rows E_I;
    snn_rows I_E;
    snn_rows I_I;
    snn_event_record record_of_E_spikes; /* E.spikes */
    snn_event_record record_of_I_spikes; /* I.spikes */
    snn_value_record record_of_E_v; /* E.v */
};

extern "C" {
__constant__ snn_model model;
}

/* E.coefficients */
/* I.coefficients */
static __device__ __forceinline__ void I_coefficients(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)threads;
    const real dt = (real)model.dt;
    const real E_tau_m = *model.E_tau_m;
    real *__restrict__ const E_decay_v = model.E_decay_v;
    const real E_tau_e = *model.E_tau_e;
    real *__restrict__ const E_decay_ge = model.E_decay_ge;
    const real E_tau_i = *model.E_tau_i;
    real *__restrict__ const E_decay_gi = model.E_decay_gi;
    real *__restrict__ const E_from_ge = model.E_from_ge;
    real *__restrict__ const E_from_gi = model.E_from_gi;
    const real I_tau_m = *model.I_tau_m;
    real *__restrict__ const I_decay_v = model.I_decay_v;
    const real I_tau_e = *model.I_tau_e;
    real *__restrict__ const I_decay_ge = model.I_decay_ge;
    const real I_tau_i = *model.I_tau_i;
    real *__restrict__ const I_decay_gi = model.I_decay_gi;
    real *__restrict__ const I_from_ge = model.I_from_ge;
    real *__restrict__ const I_from_gi = model.I_from_gi;
    if (thread == 0) {
        /* E.coefficients */
        {
            E_decay_v[0] = snn_exp(-dt/E_tau_m);
            E_decay_ge[0] = snn_exp(-dt/E_tau_e);
            E_decay_gi[0] = snn_exp(-dt/E_tau_i);
            E_from_ge[0] = E_tau_e*(E_decay_ge[0] - E_decay_v[0])/(E_tau_e - E_tau_m);
            E_from_gi[0] = E_tau_i*(E_decay_gi[0] - E_decay_v[0])/(E_tau_i - E_tau_m);
        }
        /* I.coefficients */
        {
            I_decay_v[0] = snn_exp(-dt/I_tau_m);
            I_decay_ge[0] = snn_exp(-dt/I_tau_e);
            I_decay_gi[0] = snn_exp(-dt/I_tau_i);
            I_from_ge[0] = I_tau_e*(I_decay_ge[0] - I_decay_v[0])/(I_tau_e - I_tau_m);
            I_from_gi[0] = I_tau_i*(I_decay_gi[0] - I_decay_v[0])/(I_tau_i - I_tau_m);
        }
    }
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) coefficients_1(const long long at)
{
    const int32_t step = (int32_t)at;
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    I_coefficients(step, thread, threads);
}

/* E.start */
static __device__ __forceinline__ void E_start(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    const real E_v_reset = *model.E_v_reset;
    const real E_v_th = *model.E_v_th;
    real *__restrict__ const E_v = model.E_v;
    real *__restrict__ const E_ge = model.E_ge;
    real *__restrict__ const E_gi = model.E_gi;
    int32_t *__restrict__ const E_v_until = model.E_v_until;
    for (int64_t i = thread; i < model.E_size; i += threads) {
        E_v[i] = E_v_reset + snn_uniform(snn_base(model.key_of_E_v0, i), 0)*(E_v_th - E_v_reset);
        E_ge[i] = 0.0;
        E_gi[i] = 0.0;
        E_v_until[i] = 0;
    }
}

/* I.start */
static __device__ __forceinline__ void I_start(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    const real I_v_reset = *model.I_v_reset;
    const real I_v_th = *model.I_v_th;
    real *__restrict__ const I_v = model.I_v;
    real *__restrict__ const I_ge = model.I_ge;
    real *__restrict__ const I_gi = model.I_gi;
    int32_t *__restrict__ const I_v_until = model.I_v_until;
    for (int64_t i = thread; i < model.I_size; i += threads) {
        I_v[i] = I_v_reset + snn_uniform(snn_base(model.key_of_I_v0, i), 0)*(I_v_th - I_v_reset);
        I_ge[i] = 0.0;
        I_gi[i] = 0.0;
        I_v_until[i] = 0;
    }
}

extern "C" __global__ void __launch_bounds__(SNN_THREADS) trial_start_1(const long long at)
{
    const int32_t step = (int32_t)at;
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    E_start(step, thread, threads);
    I_start(step, snn_dealt(thread, snn_warps(model.E_size), threads), threads);
}

/* The next step: empty lists, and a stop before it where a record may not hold it. */
static __device__ __forceinline__ void prepare(const int32_t step, const int32_t thread, const int32_t threads)
{
    if (thread != threads - 1) return; /* it has the least to do */
    model.E_spike.counts[snn_ring(step, -1, model.E_spike.ring)] = 0;
    model.I_spike.counts[snn_ring(step, -1, model.I_spike.ring)] = 0;
    snn_check_room(model.record_of_E_spikes, model.clock, model.E_size, step);
    snn_check_room(model.record_of_I_spikes, model.clock, model.I_size, step);
}

/* E: advance */
/* E: events */
static __device__ __forceinline__ void E_spike_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real E_E_L = *model.E_E_L;
    const real E_decay_v = *model.E_decay_v;
    real *__restrict__ const E_v = model.E_v;
    const real E_from_ge = *model.E_from_ge;
    real *__restrict__ const E_ge = model.E_ge;
    const real E_from_gi = *model.E_from_gi;
    real *__restrict__ const E_gi = model.E_gi;
    const real E_decay_ge = *model.E_decay_ge;
    const real E_decay_gi = *model.E_decay_gi;
    int32_t *__restrict__ const E_v_until = model.E_v_until;
    const real E_v_th = *model.E_v_th;
    const real E_v_reset = *model.E_v_reset;
    const int32_t E_t_ref_steps = *model.E_t_ref_steps;
    for (int64_t i = thread; i < model.E_size; i += threads) {
        /* E: advance */
        {
            /* tau_m*dv/dt = (E_L - v) + ge + gi */
            const real v_new = E_E_L + E_decay_v*(E_v[i] - E_E_L) + E_from_ge*E_ge[i] + E_from_gi*E_gi[i];
            /* tau_e*dge/dt = -ge */
            const real ge_new = E_decay_ge*E_ge[i];
            /* tau_i*dgi/dt = -gi */
            const real gi_new = E_decay_gi*E_gi[i];
            E_v[i] = step >= E_v_until[i] ? v_new : E_v[i];
            E_ge[i] = ge_new;
            E_gi[i] = gi_new;
        }
        /* E: events */
        {
            /* spike when v >= v_th */
            if (E_v[i] >= E_v_th) {
                snn_append(model.E_spike, snn_ring(step, 0, model.E_spike.ring), (int32_t)i);
                /* v = v_reset */
                E_v[i] = E_v_reset;
                /* hold v for t_ref */
                E_v_until[i] = step + E_t_ref_steps + 1;
            }
        }
    }
}

/* I: advance */
/* I: events */
static __device__ __forceinline__ void I_spike_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real I_E_L = *model.I_E_L;
    const real I_decay_v = *model.I_decay_v;
    real *__restrict__ const I_v = model.I_v;
    const real I_from_ge = *model.I_from_ge;
    real *__restrict__ const I_ge = model.I_ge;
    const real I_from_gi = *model.I_from_gi;
    real *__restrict__ const I_gi = model.I_gi;
    const real I_decay_ge = *model.I_decay_ge;
    const real I_decay_gi = *model.I_decay_gi;
    int32_t *__restrict__ const I_v_until = model.I_v_until;
    const real I_v_th = *model.I_v_th;
    const real I_v_reset = *model.I_v_reset;
    const int32_t I_t_ref_steps = *model.I_t_ref_steps;
    for (int64_t i = thread; i < model.I_size; i += threads) {
        /* I: advance */
        {
            /* tau_m*dv/dt = (E_L - v) + ge + gi */
            const real v_new = I_E_L + I_decay_v*(I_v[i] - I_E_L) + I_from_ge*I_ge[i] + I_from_gi*I_gi[i];
            /* tau_e*dge/dt = -ge */
            const real ge_new = I_decay_ge*I_ge[i];
            /* tau_i*dgi/dt = -gi */
            const real gi_new = I_decay_gi*I_gi[i];
            I_v[i] = step >= I_v_until[i] ? v_new : I_v[i];
            I_ge[i] = ge_new;
            I_gi[i] = gi_new;
        }
        /* I: events */
        {
            /* spike when v >= v_th */
            if (I_v[i] >= I_v_th) {
                snn_append(model.I_spike, snn_ring(step, 0, model.I_spike.ring), (int32_t)i);
                /* v = v_reset */
                I_v[i] = I_v_reset;
                /* hold v for t_ref */
                I_v_until[i] = step + I_t_ref_steps + 1;
            }
        }
    }
}

static __device__ __forceinline__ void stage_1(const int32_t step, const int32_t thread, const int32_t threads)
{
    E_spike_2(step, thread, threads);
    I_spike_2(step, snn_dealt(thread, snn_warps(model.E_size), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* E -> E.ge */
static __device__ __forceinline__ void E_E_deliver(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real E_E_w = *model.E_E_w;
    real *__restrict__ const E_ge = model.E_ge;
    const int64_t slot = snn_ring(step, 0, model.E_spike.ring);
    const int32_t *const fired = model.E_spike.items + slot*model.E_spike.size;
    const uint32_t fired_count = (uint32_t)model.E_spike.counts[slot];
    const snn_rows &rows = model.E_E;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            /* deliver w */
            atomicAdd(&E_ge[post], (real)(E_E_w));
        }
    }
}

/* E -> I.ge */
static __device__ __forceinline__ void E_I_deliver(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real E_I_w = *model.E_I_w;
    real *__restrict__ const I_ge = model.I_ge;
    const int64_t slot = snn_ring(step, 0, model.E_spike.ring);
    const int32_t *const fired = model.E_spike.items + slot*model.E_spike.size;
    const uint32_t fired_count = (uint32_t)model.E_spike.counts[slot];
    const snn_rows &rows = model.E_I;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            /* deliver w */
            atomicAdd(&I_ge[post], (real)(E_I_w));
        }
    }
}

/* I -> E.gi */
static __device__ __forceinline__ void I_E_deliver(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real I_E_w = *model.I_E_w;
    real *__restrict__ const E_gi = model.E_gi;
    const int64_t slot = snn_ring(step, 0, model.I_spike.ring);
    const int32_t *const fired = model.I_spike.items + slot*model.I_spike.size;
    const uint32_t fired_count = (uint32_t)model.I_spike.counts[slot];
    const snn_rows &rows = model.I_E;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            /* deliver w */
            atomicAdd(&E_gi[post], (real)(I_E_w));
        }
    }
}

/* I -> I.gi */
static __device__ __forceinline__ void I_I_deliver(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real I_I_w = *model.I_I_w;
    real *__restrict__ const I_gi = model.I_gi;
    const int64_t slot = snn_ring(step, 0, model.I_spike.ring);
    const int32_t *const fired = model.I_spike.items + slot*model.I_spike.size;
    const uint32_t fired_count = (uint32_t)model.I_spike.counts[slot];
    const snn_rows &rows = model.I_I;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            /* deliver w */
            atomicAdd(&I_gi[post], (real)(I_I_w));
        }
    }
}

/* record E.spikes */
static __device__ __forceinline__ void record_E_spikes(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_E_spikes, model.E_spike, snn_ring(step, 0, model.E_spike.ring), step, thread, threads);
}

/* record I.spikes */
static __device__ __forceinline__ void record_I_spikes(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_I_spikes, model.I_spike, snn_ring(step, 0, model.I_spike.ring), step, thread, threads);
}

/* record E.v */
static __device__ __forceinline__ void record_E_v(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real *const E_v = model.E_v;
    real *const row__1 = (real *)model.record_of_E_v.rows + ((step + 1)/(int32_t)model.period - 1 - *model.record_of_E_v.base)*model.record_of_E_v.width;
    if (snn_every(step, model.period)) {
        for (int64_t number = thread; number < model.record_of_E_v.width; number += threads) {
            row__1[number] = E_v[model.record_of_E_v.chosen[number]];
        }
    }
}

static __device__ __forceinline__ void stage_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    E_E_deliver(step, thread, threads);
    E_I_deliver(step, snn_dealt(thread, snn_part(threads, 1, 7), threads), threads);
    I_E_deliver(step, snn_dealt(thread, snn_part(threads, 2, 7), threads), threads);
    I_I_deliver(step, snn_dealt(thread, snn_part(threads, 3, 7), threads), threads);
    record_E_spikes(step, snn_dealt(thread, snn_part(threads, 4, 7), threads), threads);
    record_I_spikes(step, snn_dealt(thread, snn_part(threads, 5, 7), threads), threads);
    record_E_v(step, snn_dealt(thread, snn_part(threads, 6, 7), threads), threads);
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
    if (thread == 0) model.clock->at[0] = now + runs;
}
