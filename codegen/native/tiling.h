/* Many steps of one block of neurons before the next block: the events and values of a chunk of steps. */
#ifndef SNN_TILING_H
#define SNN_TILING_H

/* Fewer steps than these are done one after the other. */
#define SNN_FEWEST_TILED 4

/* The events of a chunk, by thread and step. A thread goes through its blocks in ascending order, so every table is in ascending order. */
typedef struct snn_tiles {
    int64_t steps;
    int threads;
    snn_table *tables; /* (threads, steps) */
} snn_tiles;

static SNN_COLD int snn_make_tiles(snn_tiles *tiles, int64_t steps, int threads)
{
    tiles->steps = steps, tiles->threads = threads;
    tiles->tables = snn_allocate(steps * threads * (int64_t)sizeof(snn_table));
    return tiles->tables != NULL;
}

static SNN_COLD void snn_free_tiles(snn_tiles *tiles)
{
    if (tiles->tables != NULL)
        for (int64_t number = 0; number < tiles->steps * tiles->threads; number++) free(tiles->tables[number].items);
    free(tiles->tables);
}

static inline snn_table *snn_tile(const snn_tiles *tiles, int thread, int64_t number)
{
    return tiles->tables + thread * tiles->steps + number;
}

static inline void snn_empty_tiles(const snn_tiles *tiles, int thread, int64_t count)
{
    for (int64_t number = 0; number < count; number++) snn_tile(tiles, thread, number)->count = 0;
}

/* The list as the steps would have left it: a thread's part of every slot of its ring that a step of the chunk was the last to write. */
static inline void snn_list_tiles(const snn_list *list, const snn_tiles *tiles, int64_t from, int64_t count, int thread)
{
    for (int64_t number = snn_greater(count - list->depth, 0); number < count; number++) {
        const snn_table *const table = snn_tile(tiles, thread, number);
        const int64_t slot = snn_slot(from + number, 0, list->depth);
        if (table->count > 0) memcpy(snn_part(list, slot, thread), table->items, (size_t)table->count * sizeof(int32_t));
        *snn_count(list, slot, thread) = (int32_t)table->count;
    }
}

/* Events of a chunk into a record, step by step. 0: no memory. */
static inline int snn_record_tiles(snn_record *record, const snn_tiles *tiles, int64_t from, int64_t count)
{
    int64_t total = 0;
    for (int thread = 0; thread < tiles->threads; thread++)
        for (int64_t number = 0; number < count; number++) total += snn_tile(tiles, thread, number)->count;
    if (!snn_record_room(record, total)) return 0;
    int32_t *const values = (int32_t *)(void *)record->values;
    for (int64_t number = 0; number < count; number++)
        for (int thread = 0; thread < tiles->threads; thread++) {
            const snn_table *const table = snn_tile(tiles, thread, number);
            for (int64_t item = 0; item < table->count; item++) {
                if (record->chosen >= 0 && !record->indices[table->items[item]]) continue;
                record->steps[record->count] = from + number;
                values[record->count++] = table->items[item];
            }
        }
    return 1;
}

/* --- values ----------------------------------------------------------------------------------------------------------- */

/* Room for the rows of a chunk, and their steps; the rows count once the chunk is done. 0: no memory. */
static inline int snn_record_rows(snn_record *record, int64_t from, int64_t count, int64_t every)
{
    const int64_t rows = (from + count)/every - from/every;
    if (!snn_record_room(record, rows)) return 0;
    for (int64_t row = 0; row < rows; row++) record->steps[record->count + row] = (from/every + row + 1)*every - 1;
    return 1;
}

/* How many rows a chunk added: none where there was no room for them. */
static inline int64_t snn_rows_due(const snn_record *record, int64_t from, int64_t count, int64_t every)
{
    const int64_t rows = (from + count)/every - from/every;
    return record->count + rows <= record->room ? rows : 0;
}

static int snn_before(const void *one, const void *other)
{
    const int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

/* What is chosen by ascending index, so that a block finds its own: the index in the upper half of a number, its place in the row below.
 * NULL: no memory. */
static SNN_COLD int64_t *snn_order(const snn_record *record)
{
    const int64_t count = snn_greater(record->chosen, 0);
    int64_t *const order = snn_allocate(count * (int64_t)sizeof(int64_t));
    if (order == NULL) return NULL;
    for (int64_t number = 0; number < count; number++) order[number] = record->indices[number] << 32 | number;
    qsort(order, (size_t)count, sizeof *order, snn_before);
    return order;
}

/* How many of what is chosen stand before an index. */
static inline int64_t snn_chosen_before(const snn_record *record, const int64_t *order, int64_t index)
{
    int64_t low = 0, high = snn_greater(record->chosen, 0);
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (order[middle] >> 32 < index) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* A block's part of a row: of what is chosen, in ascending order, those from `from` to `to`. */
static inline void snn_record_part(const snn_record *record, const void *array, int64_t row, int64_t first, int64_t last,
                                   const int64_t *order, int64_t from, int64_t to)
{
    if (record->count + row >= record->room) return;
    const int64_t bytes = record->bytes;
    unsigned char *const values = record->values + (record->count + row) * record->width * bytes;
    const unsigned char *const items = array;
    if (record->chosen < 0) memcpy(values + first * bytes, items + first * bytes, (size_t)((last - first) * bytes));
    else
        for (int64_t number = from; number < to; number++)
            memcpy(values + (order[number] & 0xffffffff) * bytes, items + (order[number] >> 32) * bytes, (size_t)bytes);
}

#endif
