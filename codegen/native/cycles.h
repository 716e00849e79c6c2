/* Populations that send to each other, taken through all steps of a segment. Samples share nothing, so a block of them goes through all steps
 * before the next block: what it sends and receives stays in the first caches, the packed weights in the second, and threads that
 * share out blocks never wait for each other. A block is the same whatever the number of threads, and so is every bit. */

/* snn_span of codegen/passes_c.py */
typedef struct snn_span {
    int64_t batch, size, first, last, from, to, around, origin, sample;
    double dt, offset;
    const uint64_t *key;
} snn_span;

/* A population: its pass, the arrays of it, how many bytes each goes on from block to block of samples, and whether the
 * neurons of all samples may be counted through. */
typedef struct snn_member {
    void (*pass)(void *const *slot, const snn_span *a);
    char *const *slot;
    const int64_t *stride;
    int64_t slots, size, flat;
} snn_member;

/* A connection, in the direction in which it is gone: to[step - to_lag] += from[step - from_lag] times the weights, in the turn of `member`.
 * `plain` are the weights as rows of senders for signals that are mostly zero, or NULL. */
typedef struct snn_arc {
    const real *from, *packed, *plain;
    real *to;
    int64_t senders, receivers, from_lag, to_lag, member;
} snn_arc;

#define NEURONS 64 /* of a block of a pass: LANES of codegen/passes_c.py */

/* Bytes of room for blocks of `rows` samples and at most `senders`. */
int64_t snn_cycle_room(int64_t rows, int64_t senders)
{
    return (rows + 1)*8 + (rows*senders + 16)*(int64_t)(sizeof(int32_t) + sizeof(real)) + 64;
}

static void go(const snn_arc *arc, int64_t batch, int64_t row, int64_t rows, int64_t at, double rare, void *room)
{
    const real *const from = arc->from + ((at - arc->from_lag)*batch + row)*arc->senders;
    real *const to = arc->to + ((at - arc->to_lag)*batch + row)*arc->receivers;
    if (arc->plain != NULL) {
        int64_t *const begin = room;
        real *const value = (real *)(begin + rows + 1);
        int32_t *const index = (int32_t *)(value + rows*arc->senders + 16);
        const int64_t count = snn_rows_list(from, rows, arc->senders, begin, index, value);
        if ((double)count < rare*(double)(rows*arc->senders)) {
            snn_rows_gather(begin, index, value, arc->plain, arc->receivers, to, rows, 1, 0, rows, 1, 1, NULL);
            return;
        }
    }
    add_product(rows, arc->senders, arc->receivers, from, arc->packed, to);
}

/* Samples first .. last - 1 of the batch that `about` describes, `block` of them together; backwards where `back`. Connections
 * of a member are gone before its turn, backwards after it. Below a part `rare` of active senders lists of them are made. */
void snn_cycle(const snn_member *members, int64_t count, const snn_arc *arcs, int64_t many, const snn_span *about, int64_t first, int64_t last,
               int64_t block, int64_t back, double rare, void *room)
{
    for (int64_t row = first; row < last; row += block) {
        const int64_t rows = last - row < block ? last - row : block;
        for (int64_t n = 0; n < about->last - about->first; n++) {
            const int64_t step = back ? about->last - 1 - n : about->first + n;
            for (int64_t m = 0; m < count; m++) {
                const int64_t own = back ? count - 1 - m : m;
                const snn_member *const member = members + own;
                void *place[member->slots + 1];
                for (int64_t s = 0; s < member->slots; s++) place[s] = member->slot[s] + row/block*member->stride[s];
                snn_span span = *about;
                span.batch = member->flat ? 1 : rows;
                span.size = member->flat ? rows*member->size : member->size;
                span.first = step;
                span.last = step + 1;
                span.from = 0;
                span.to = (span.size + NEURONS - 1)/NEURONS;
                span.around = about->batch*member->size;
                span.sample = about->sample + row;
                if (back) member->pass(place, &span);
                for (int64_t k = 0; k < many; k++)
                    if (arcs[k].member == own) go(arcs + k, about->batch, row, rows, step - about->origin, rare, room);
                if (!back) member->pass(place, &span);
            }
        }
    }
}
