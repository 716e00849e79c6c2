/* Events on their way: schedules, queues of synapses with delays of their own, lists compared while they settle; records and saved states. */
#ifndef SNN_EVENTS_H
#define SNN_EVENTS_H

/* Put the scheduled items of this step into the list; steps are ascending. */
static inline void snn_schedule(const snn_list *list, int64_t step, const int32_t *steps, const int32_t *indices, int64_t count)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (steps[middle] < step) low = middle + 1;
        else high = middle;
    }
    const int64_t slot = snn_slot(step, 0, list->depth);
    for (; low < count && steps[low] == step; low++) snn_insert(list, slot, 0, indices[low]);
}

/* --- queues ----------------------------------------------------------------------------------------------------------- */

static inline int snn_join_queue(snn_queue *queue, int64_t step, int64_t wait, int part, int64_t synapse)
{
    snn_table *const table = &queue->slots[snn_slot(step, -wait, queue->depth) * queue->threads + part];
    if (!snn_reserve(table, 1)) return 0;
    table->items[table->count++] = (int32_t)synapse;
    return 1;
}

static inline int64_t snn_wait_of(const int32_t *delays, int one, int64_t synapse, int64_t lag)
{
    const int64_t wait = (int64_t)delays[one ? 0 : synapse] - lag;
    return wait > 0 ? wait : 0;
}

/* Every synapse of the items of a list goes into the slot of the step in which it will be reached. 0: no memory. */
static inline int snn_enqueue_rows(snn_queue *queue, const snn_rows *rows, const snn_list *list, const int32_t *delays, int one,
                                   int64_t step, int64_t lag, int post_side, int part, int end)
{
    const int64_t slot = snn_slot(step, lag, list->depth);
    int complete = 1;
    for (int to = part; to < end; to++)
        for (int of = post_side ? to : 0; of < (post_side ? to + 1 : list->threads); of++) {
            const int32_t *const items = snn_part(list, slot, of);
            const int32_t count = *snn_count(list, slot, of);
            for (int32_t number = 0; number < count; number++) {
                const int64_t item = items[number];
                if (post_side) {
                    for (int64_t place = rows->column_start[item]; place < rows->column_start[item + 1]; place++) {
                        const int64_t synapse = rows->column_synapse[place];
                        complete &= snn_join_queue(queue, step, snn_wait_of(delays, one, synapse, lag), to, synapse);
                    }
                } else {
                    const int64_t stop = snn_row(rows, item, to + 1);
                    for (int64_t synapse = snn_row(rows, item, to); synapse < stop; synapse++)
                        complete &= snn_join_queue(queue, step, snn_wait_of(delays, one, synapse, lag), to, synapse);
                }
            }
        }
    return complete;
}

static inline int snn_enqueue_grid(snn_queue *queue, const snn_grid *grid, int pairs, int64_t post_size, const snn_list *list,
                                   const int32_t *delays, int one, int64_t step, int64_t lag, int post_side, int part, int end)
{
    const int64_t slot = snn_slot(step, lag, list->depth);
    int complete = 1;
    for (int to = part; to < end; to++) {
        int64_t first = snn_share(post_size, to, list->threads) - grid->post_first;
        int64_t last = snn_share(post_size, to + 1, list->threads) - grid->post_first;
        if (first < 0) first = 0;
        if (last > grid->columns) last = grid->columns;
        for (int of = post_side ? to : 0; of < (post_side ? to + 1 : list->threads); of++) {
            const int32_t *const items = snn_part(list, slot, of);
            const int32_t count = *snn_count(list, slot, of);
            for (int32_t number = 0; number < count; number++) {
                const int64_t own = items[number] - (post_side ? grid->post_first : grid->pre_first);
                if (own < 0 || own >= (post_side ? grid->columns : grid->rows)) continue;
                if (pairs) {
                    if (post_side || (own >= first && own < last))
                        complete &= snn_join_queue(queue, step, snn_wait_of(delays, one, own, lag), to, own);
                    continue;
                }
                for (int64_t other = post_side ? 0 : first; other < (post_side ? grid->rows : last); other++) {
                    const int64_t row = post_side ? other : own, column = post_side ? own : other;
                    if (!grid->autapses && grid->pre_first + row == grid->post_first + column) continue;
                    const int64_t synapse = row*grid->columns + column;
                    complete &= snn_join_queue(queue, step, snn_wait_of(delays, one, synapse, lag), to, synapse);
                }
            }
        }
    }
    return complete;
}

static SNN_COLD void snn_free_queue(snn_queue *queue)
{
    if (queue->slots != NULL)
        for (int64_t slot = 0; slot < queue->depth * queue->threads; slot++) free(queue->slots[slot].items);
    free(queue->slots);
}

/* --- lists that settle ------------------------------------------------------------------------------------------------ */

static SNN_COLD int snn_remember(const snn_list *list, int64_t slot, snn_table *before)
{
    before->count = 0;
    for (int part = 0; part < list->threads; part++) {
        const int32_t count = *snn_count(list, slot, part);
        if (!snn_reserve(before, count)) return 0;
        if (count > 0) memcpy(before->items + before->count, snn_part(list, slot, part), (size_t)count * sizeof(int32_t));
        before->count += count;
    }
    return 1;
}

static inline int snn_same(const snn_list *list, int64_t slot, const snn_table *before)
{
    if (snn_total(list, slot) != before->count) return 0;
    int64_t place = 0;
    for (int part = 0; part < list->threads; part++) {
        const int32_t count = *snn_count(list, slot, part);
        if (count > 0 && memcmp(before->items + place, snn_part(list, slot, part), (size_t)count * sizeof(int32_t)) != 0) return 0;
        place += count;
    }
    return 1;
}

/* --- arrays at first -------------------------------------------------------------------------------------------------- */

#define SNN_FILL(name, type)                                                                                              \
    static SNN_COLD int name(type **array, int64_t length, int64_t depth, double initial, const void *data)                 \
    {                                                                                                                     \
        *array = snn_allocate(length * depth * (int64_t)sizeof(type));                                                    \
        if (*array == NULL) return 0;                                                                                     \
        if (data != NULL) memcpy(*array, data, (size_t)(length * depth) * sizeof(type));                                  \
        else if (initial != 0) for (int64_t i = 0; i < length * depth; i++) (*array)[i] = (type)initial;                  \
        return 1;                                                                                                         \
    }
SNN_FILL(snn_fill_real, real)
SNN_FILL(snn_fill_int, int32_t)
SNN_FILL(snn_fill_bool, uint8_t)

/* --- records ---------------------------------------------------------------------------------------------------------- */

/* chosen: the neurons to watch, or NULL for all; kept as one flag a neuron. */
static SNN_COLD int snn_watch_events(snn_record *record, const int64_t *chosen, int64_t count, int64_t size)
{
    record->width = 1, record->bytes = (int64_t)sizeof(int32_t), record->chosen = chosen == NULL ? -1 : count;
    if (chosen == NULL) return 1;
    record->indices = snn_allocate(size * (int64_t)sizeof(int64_t));
    if (record->indices == NULL) return 0;
    for (int64_t number = 0; number < count; number++) record->indices[chosen[number]] = 1;
    return 1;
}

static SNN_COLD int snn_watch_values(snn_record *record, const int64_t *chosen, int64_t count, int64_t length, size_t bytes)
{
    record->width = chosen == NULL ? length : count, record->bytes = (int64_t)bytes, record->chosen = chosen == NULL ? -1 : count;
    if (chosen == NULL) return 1;
    record->indices = snn_allocate(count * (int64_t)sizeof(int64_t));
    if (record->indices == NULL) return 0;
    memcpy(record->indices, chosen, (size_t)count * sizeof(int64_t));
    return 1;
}

static inline int snn_record_events(snn_record *record, const snn_list *list, int64_t step)
{
    const int64_t slot = snn_slot(step, 0, list->depth);
    if (!snn_record_room(record, snn_total(list, slot))) return 0;
    int32_t *const values = (int32_t *)(void *)record->values;
    for (int part = 0; part < list->threads; part++) {
        const int32_t *const items = snn_part(list, slot, part);
        const int32_t count = *snn_count(list, slot, part);
        for (int32_t number = 0; number < count; number++) {
            if (record->chosen >= 0 && !record->indices[items[number]]) continue;
            record->steps[record->count] = step;
            values[record->count++] = items[number];
        }
    }
    return 1;
}

static inline int snn_record_values(snn_record *record, const void *array, int64_t step)
{
    if (!snn_record_room(record, 1)) return 0;
    const int64_t row = record->width * record->bytes;
    unsigned char *const to = record->values + record->count * row;
    if (record->chosen < 0) memcpy(to, array, (size_t)row);
    else
        for (int64_t number = 0; number < record->width; number++)
            memcpy(to + number * record->bytes, (const unsigned char *)array + record->indices[number] * record->bytes, (size_t)record->bytes);
    record->steps[record->count++] = step;
    return 1;
}

static SNN_COLD void snn_free_record(snn_record *record)
{
    free(record->steps), free(record->values), free(record->indices);
}

/* --- saved states ----------------------------------------------------------------------------------------------------- */

/* way 0: count; 1: copy out of the model; -1: copy into it. `place` moves on. */
static SNN_COLD void snn_move(unsigned char **place, void *memory, int64_t bytes, int way)
{
    if (bytes > 0 && way > 0) memcpy(*place, memory, (size_t)bytes);
    if (bytes > 0 && way < 0) memcpy(memory, *place, (size_t)bytes);
    *place += bytes;
}

static SNN_COLD void snn_move_list(unsigned char **place, snn_list *list, int way)
{
    snn_move(place, list->counts, list->depth * list->threads * SNN_LINE * (int64_t)sizeof(int32_t), way);
    for (int64_t slot = 0; slot < list->depth; slot++)
        for (int part = 0; part < list->threads; part++)
            snn_move(place, snn_part(list, slot, part), *snn_count(list, slot, part) * (int64_t)sizeof(int32_t), way);
}

static SNN_COLD int snn_move_queue(unsigned char **place, snn_queue *queue, int way)
{
    for (int64_t slot = 0; slot < queue->depth * queue->threads; slot++) {
        snn_table *const table = &queue->slots[slot];
        int64_t count = table->count;
        snn_move(place, &count, (int64_t)sizeof count, way);
        if (way < 0) {
            table->count = 0;
            if (!snn_reserve(table, count)) return 0;
            table->count = count;
        }
        snn_move(place, table->items, count * (int64_t)sizeof(int32_t), way);
    }
    return 1;
}

/* --- the ends of synapses --------------------------------------------------------------------------------------------- */

static SNN_COLD int64_t snn_pairs_of_rows(const snn_rows *rows, int32_t *pre, int32_t *post)
{
    for (int64_t from = 0; pre != NULL && from < rows->pre_size; from++)
        for (int64_t synapse = rows->row_start[from]; synapse < rows->row_start[from + 1]; synapse++)
            pre[synapse] = (int32_t)from, post[synapse] = (int32_t)snn_post(rows, synapse);
    return rows->count;
}

static SNN_COLD int64_t snn_pairs_of_grid(const snn_grid *grid, int pairs, int32_t *pre, int32_t *post)
{
    const int64_t width = pairs ? 1 : grid->columns;
    for (int64_t synapse = 0; pre != NULL && synapse < grid->rows * width; synapse++) {
        pre[synapse] = (int32_t)(grid->pre_first + synapse / width);
        post[synapse] = (int32_t)(grid->post_first + (pairs ? synapse : synapse % width));
    }
    return grid->rows * width;
}

static SNN_COLD int64_t snn_rows_bytes(const snn_rows *rows)
{
    int64_t bytes = (rows->pre_size + 1) * (int64_t)sizeof(int64_t) + rows->count * rows->post_bytes;
    if (rows->shared != NULL) bytes += rows->count * (int64_t)sizeof(int32_t);
    if (rows->pre != NULL) bytes += rows->count * (int64_t)sizeof(int32_t);
    if (rows->column_start != NULL) bytes += (rows->post_size + 1) * (int64_t)sizeof(int64_t) + 2 * rows->count * (int64_t)sizeof(int32_t);
    if (rows->split != NULL) bytes += (rows->threads * rows->pre_size + 1) * (int64_t)sizeof(int64_t);
    return bytes;
}

#endif
