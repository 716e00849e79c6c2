/* Reductions over populations and over the synapses of a neuron. Sums are made in double precision whatever the model's. */
#ifndef SNN_CUDA_REDUCE
#define SNN_CUDA_REDUCE

enum snn_operation { SNN_SUM, SNN_MEAN, SNN_MAX, SNN_MIN, SNN_ARGMAX, SNN_ARGMIN, SNN_COUNT };

/* What some elements come to: their sum or their extreme value, where it was first met (-1: no elements), and their number. */
typedef struct snn_partial {
    double value;
    long long index, members;
} snn_partial;

SNN_INLINE snn_partial snn_nothing() { snn_partial none; none.value = 0.0; none.index = -1; none.members = 0; return none; }

/* Two parts together; of equal extremes the one with the lower index counts. */
SNN_INLINE void snn_unite(int operation, snn_partial &a, const snn_partial &b)
{
    if (b.index < 0) return;
    if (a.index < 0) {
        a = b;
        return;
    }
    a.members += b.members;
    if (operation == SNN_SUM || operation == SNN_MEAN) {
        a.value += b.value;
        return;
    }
    const bool greatest = operation == SNN_MAX || operation == SNN_ARGMAX;
    if ((greatest ? b.value > a.value : b.value < a.value) || (b.value == a.value && b.index < a.index)) a.value = b.value, a.index = b.index;
}

/* The parts of all threads of a block, in its first thread. */
SNN_INLINE snn_partial snn_unite_block(int operation, snn_partial own)
{
    __shared__ snn_partial parts[SNN_RESIDENT_THREADS];
    __syncthreads(); /* the parts may still be read from the last time */
    parts[threadIdx.x] = own;
    __syncthreads();
    for (unsigned int width = blockDim.x; width > 1;) {
        const unsigned int half = (width + 1)/2;
        if (threadIdx.x < half && threadIdx.x + half < width) snn_unite(operation, parts[threadIdx.x], parts[threadIdx.x + half]);
        width = half;
        __syncthreads();
    }
    return parts[0];
}

template <typename number> SNN_INLINE void snn_look(int operation, snn_partial &part, number value, int64_t index)
{
    snn_partial one;
    one.value = (double)value, one.index = index, one.members = 1;
    snn_unite(operation, part, one);
}

/* The result of a reduction; groups without elements keep what they had. */
template <typename number> SNN_INLINE void snn_settle_result(int operation, number *result, const snn_partial &part)
{
    if (part.index < 0) return;
    if (operation == SNN_ARGMAX || operation == SNN_ARGMIN) *result = (number)part.index;
    else *result = (number)(operation == SNN_MEAN ? part.value/(double)part.members : part.value);
}

/* One group, first half: every block leaves its part; the first entry counts the blocks. */
template <typename number> SNN_INLINE void snn_reduce_blocks(int operation, snn_partial *partials, const number *source, int64_t n)
{
    snn_partial own = snn_nothing();
    for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x*blockDim.x)
        snn_look(operation, own, source[i], i);
    const snn_partial whole = snn_unite_block(operation, own);
    if (threadIdx.x == 0) {
        partials[blockIdx.x + 1] = whole;
        if (blockIdx.x == 0) partials[0].members = gridDim.x;
    }
}

/* Second half: the first block puts the parts together. */
template <typename number> SNN_INLINE void snn_reduce_finish(int operation, number *result, const snn_partial *partials)
{
    if (blockIdx.x != 0) return;
    snn_partial own = snn_nothing();
    const long long blocks = partials[0].members;
    for (long long block = threadIdx.x; block < blocks; block += blockDim.x) snn_unite(operation, own, partials[block + 1]);
    const snn_partial whole = snn_unite_block(operation, own);
    if (threadIdx.x == 0) snn_settle_result(operation, result, whole);
}

/* Many groups: a block looks for the elements of one after the other. */
template <typename number, typename target>
SNN_INLINE void snn_reduce_groups(int operation, target *result, int64_t results, const number *source, int64_t n, const int32_t *groups)
{
    for (int64_t group = blockIdx.x; group < results; group += gridDim.x) {
        snn_partial own = snn_nothing();
        for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
            if (groups[i] == group) snn_look(operation, own, source[i], i);
        const snn_partial whole = snn_unite_block(operation, own);
        if (threadIdx.x == 0) snn_settle_result(operation, result + group, whole);
    }
}

/* rank[i] = number of elements of its group that come before i: greatest first, ties by index. */
template <typename number>
SNN_INLINE void snn_rank(int32_t *rank, const number *source, int64_t n, const int32_t *groups, int32_t thread, int32_t threads)
{
    for (int64_t i = thread; i < n; i += threads) {
        const number own = source[i];
        const int32_t group = groups == nullptr ? 0 : groups[i];
        int32_t before = 0;
        for (int64_t j = 0; j < n; j++) {
            const number other = source[j];
            const bool first = other > own || (other == own && j < i);
            before += first && (groups == nullptr || groups[j] == group);
        }
        rank[i] = before;
    }
}

/* --- over synapses: a thread goes through those of one neuron, in their order ------------------------------------------- */

template <typename number> SNN_INLINE void snn_join(int operation, snn_partial &part, const number *source, int64_t synapse)
{
    if (operation == SNN_COUNT || source == nullptr) part.members++, part.index = 0;
    else snn_look(operation, part, source[synapse], synapse);
}

template <typename number> SNN_INLINE void snn_joined(int operation, number *result, const snn_partial &part)
{
    *result = 0;
    if (operation == SNN_COUNT) *result = (number)part.members;
    else snn_settle_result(operation, result, part);
}

template <typename number, typename target>
SNN_INLINE void snn_reduce_rows(int operation, target *result, int64_t results, const number *source, const snn_rows &rows, int per_post,
                                int32_t thread, int32_t threads)
{
    for (int64_t neuron = thread; neuron < results; neuron += threads) {
        const int64_t *const start = per_post ? rows.column_start : rows.row_start;
        snn_partial part = snn_nothing();
        for (int64_t place = start[neuron]; place < start[neuron + 1]; place++)
            snn_join(operation, part, source, per_post ? rows.column_synapse[place] : place);
        snn_joined(operation, result + neuron, part);
    }
}

template <typename number, typename target>
SNN_INLINE void snn_reduce_grid(int operation, target *result, int64_t results, const number *source, const snn_grid &grid, int pairs,
                                int autapses, int per_post, int32_t thread, int32_t threads)
{
    for (int64_t neuron = thread; neuron < results; neuron += threads) {
        const int64_t own = neuron - (per_post ? grid.post_first : grid.pre_first);
        snn_partial part = snn_nothing();
        if (pairs && own >= 0 && own < grid.rows) snn_join(operation, part, source, own);
        else if (!pairs && own >= 0 && own < (per_post ? grid.columns : grid.rows))
            for (int64_t other = 0; other < (per_post ? grid.rows : grid.columns); other++) {
                const int64_t row = per_post ? other : own, column = per_post ? own : other;
                if (!autapses && grid.pre_first + row == grid.post_first + column) continue;
                snn_join(operation, part, source, row*grid.columns + column);
            }
        snn_joined(operation, result + neuron, part);
    }
}

#endif
