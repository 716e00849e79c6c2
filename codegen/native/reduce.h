/* Reductions over populations and over the synapses of a neuron. One thread, in order of the items. */
#ifndef SNN_REDUCE_H
#define SNN_REDUCE_H

enum snn_operation { SNN_SUM, SNN_MEAN, SNN_MAX, SNN_MIN, SNN_ARGMAX, SNN_ARGMIN, SNN_COUNT };

/* Room for the largest reduction of a model: sums are made in double precision whatever the model's. */
typedef struct snn_room {
    int64_t *members;
    double *sums;
} snn_room;

/* result[g] (place[g] for the index of the greatest or least) = operation over source[i] of group g; groups NULL: one group. */
static inline void snn_reduce(int operation, real *result, int32_t *place, int64_t results, const real *source, int64_t n,
                              const int32_t *groups, snn_room *room)
{
    for (int64_t g = 0; g < results; g++) room->members[g] = 0, room->sums[g] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t g = groups == NULL ? 0 : groups[i];
        const int64_t before = room->members[g]++;
        const real value = source[i];
        switch (operation) {
        case SNN_SUM:
        case SNN_MEAN: room->sums[g] += (double)value; break;
        case SNN_MAX: if (before == 0 || value > result[g]) result[g] = value; break;
        case SNN_MIN: if (before == 0 || value < result[g]) result[g] = value; break;
        case SNN_ARGMAX: if (before == 0 || value > source[place[g]]) place[g] = (int32_t)i; break;
        default: if (before == 0 || value < source[place[g]]) place[g] = (int32_t)i; break;
        }
    }
    if (operation == SNN_SUM || operation == SNN_MEAN)
        for (int64_t g = 0; g < results; g++)
            if (room->members[g] > 0) result[g] = (real)(operation == SNN_SUM ? room->sums[g] : room->sums[g]/(double)room->members[g]);
}

typedef struct snn_ranked {
    real value;
    int32_t group, index;
} snn_ranked;

static inline int snn_compare_ranked(const void *left, const void *right)
{
    const snn_ranked *const a = left, *const b = right;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->value != b->value) return a->value > b->value ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* rank[i] = number of elements of its group that come before i: greatest first, ties by index. room has n entries. */
static inline void snn_rank(int32_t *rank, const real *source, int64_t n, const int32_t *groups, snn_ranked *room)
{
    for (int64_t i = 0; i < n; i++) room[i] = (snn_ranked){source[i], groups == NULL ? 0 : groups[i], (int32_t)i};
    qsort(room, (size_t)n, sizeof *room, snn_compare_ranked);
    int32_t place = 0;
    for (int64_t i = 0; i < n; i++) {
        place = i > 0 && room[i].group == room[i - 1].group ? place + 1 : 0;
        rank[room[i].index] = place;
    }
}

/* One synapse joins the reduction of its neuron. */
static inline void snn_join(int operation, real *result, snn_room *room, int64_t neuron, real value)
{
    const int64_t before = room->members[neuron]++;
    switch (operation) {
    case SNN_MAX: if (before == 0 || value > result[neuron]) result[neuron] = value; break;
    case SNN_MIN: if (before == 0 || value < result[neuron]) result[neuron] = value; break;
    case SNN_COUNT: break;
    default: room->sums[neuron] += (double)value; break;
    }
}

static inline void snn_joined(int operation, real *result, int64_t results, const snn_room *room)
{
    for (int64_t g = 0; g < results; g++) {
        if (operation == SNN_COUNT) result[g] = (real)room->members[g];
        if (operation == SNN_SUM) result[g] = (real)room->sums[g];
        if (operation == SNN_MEAN && room->members[g] > 0) result[g] = (real)(room->sums[g]/(double)room->members[g]);
    }
}

/* result[neuron] = operation over source[synapse] of its synapses; source NULL counts; a neuron without synapses gets 0. */
static inline void snn_reduce_rows(int operation, real *result, int64_t results, const real *source, const snn_rows *rows,
                                   int autapses, int per_post, snn_room *room)
{
    for (int64_t g = 0; g < results; g++) result[g] = 0, room->members[g] = 0, room->sums[g] = 0;
    for (int64_t pre = 0; pre < rows->pre_size; pre++)
        for (int64_t synapse = rows->row_start[pre]; synapse < rows->row_start[pre + 1]; synapse++) {
            const int64_t post = snn_post(rows, synapse);
            if (!autapses && pre == post) continue;
            snn_join(operation, result, room, per_post ? post : pre, source == NULL ? 0 : source[synapse]);
        }
    snn_joined(operation, result, results, room);
}

static inline void snn_reduce_grid(int operation, real *result, int64_t results, const real *source, const snn_grid *grid,
                                   int pairs, int per_post, snn_room *room)
{
    for (int64_t g = 0; g < results; g++) result[g] = 0, room->members[g] = 0, room->sums[g] = 0;
    for (int64_t row = 0; row < grid->rows; row++)
        for (int64_t column = pairs ? row : 0; column < (pairs ? row + 1 : grid->columns); column++) {
            const int64_t pre = grid->pre_first + row, post = grid->post_first + column;
            if (!grid->autapses && pre == post) continue;
            const int64_t synapse = pairs ? row : row*grid->columns + column;
            snn_join(operation, result, room, per_post ? post : pre, source == NULL ? 0 : source[synapse]);
        }
    snn_joined(operation, result, results, room);
}

#endif
