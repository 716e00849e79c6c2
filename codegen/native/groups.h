/* Products with a matrix that is zero in many places, in groups of four of its rows: a term is left out where all four are zero, and else
 * four rows meet a panel of columns with all sums in registers (the register tile of Goto & van de Geijn 2008). Images and spikes of
 * neighbours are zero together, so that groups of like rows leave out most of what their rows would. Every sum is made in the order of
 * its terms, and what is left out adds exact zeros: no bit depends on the grouping or on how groups are shared out among threads. */

#define GROUP 4 /* rows; any_of_four() and tiles count on it */
#if defined(__AVX512F__) || defined(__aarch64__)
#define PANEL 5 /* vectors of columns: with the rows, 20 sums, 5 vectors, 1 number of 32 registers */
#elif defined(__AVX__)
#define PANEL 3 /* 12, 3 and 1 of 16 */
#else
#define PANEL 2 /* 8, 2 and what a product needs before it is added */
#endif
#define TERMS 1024 /* of a pass: they are counted in 16 bits, and a panel of so many stays in the second-level cache */
#define AHEAD 8    /* terms before its turn that a term is fetched */
#define TOGETHER 8 /* panels at most that a group meets one after the other */
#define SEEN 8     /* groups after which it is known whether they are worth making */
#define WORDS 8    /* of bits that are counted together */
#define LIKE 32    /* rows among which the likest is looked for */

/* Bit 4g: is one of the bits 4g .. 4g + 3 set? */
static inline uint64_t any_of_four(uint64_t bits)
{
    bits |= bits >> 1;
    bits |= bits >> 2;
    return bits & UINT64_C(0x1111111111111111);
}

/* Words of the bits of a row: whole vectors of them, of which those that are not there are 0. */
static int64_t words_of(int64_t terms) { return (terms + 64*WORDS - 1)/(64*WORDS)*WORDS; }

static int64_t different(const uint64_t *one, const uint64_t *other, int64_t words)
{
    int64_t n[WORDS] = {0}, all = 0;
    for (int64_t w = 0; w < words; w += WORDS) {
        #pragma omp simd
        for (int64_t j = 0; j < WORDS; j++) n[j] += __builtin_popcountll(one[w + j] ^ other[w + j]);
    }
    for (int64_t j = 0; j < WORDS; j++) all += n[j];
    return all;
}

/* First groups of rows with equal bits, which need nothing that a row of them does not, then what is left, both in their order. `next` has
 * room for a number a row, `table` for four. */
static void equals_together(const uint64_t *bits, int64_t rows, int64_t words, int32_t *order, int32_t *next, int32_t *table)
{
    int64_t size = 1, n = 0, many = 0;
    while (size < 2*rows) size *= 2;
    for (int64_t i = 0; i < size; i++) table[i] = -1; /* the first row with this hash; `next` leads to the others */
    for (int64_t r = rows - 1; r >= 0; r--) {
        uint64_t hash = 0;
        for (int64_t w = 0; w < words; w++) hash = (hash ^ bits[r*words + w])*UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 29;
        int32_t *const place = table + (hash >> 40)%(uint64_t)size;
        next[r] = *place;
        *place = (int32_t)r;
    }
    int32_t *const left = table, *const taken = table + rows;
    memset(taken, 0, (size_t)rows*sizeof *taken);
    for (int64_t r = 0; r < rows; r++) {
        if (taken[r]) continue;
        const int64_t begin = n;
        for (int32_t i = (int32_t)r; i >= 0; i = next[i])
            if (!taken[i] && (i == r || memcmp(bits + r*words, bits + i*words, (size_t)words*sizeof *bits) == 0)) {
                order[n++] = i;
                taken[i] = 1;
            }
        while ((n - begin)%GROUP != 0) left[many++] = order[--n];
    }
    memcpy(order + n, left, (size_t)many*sizeof *left);
}

/* An order in which each four rows from the first on are alike: to a first one come those of the next LIKE that differ least from it.
 * 0: the first SEEN groups need more than `most` terms each, and it is given up. */
static int like_together(const uint64_t *bits, int64_t rows, int64_t words, int32_t *order, double most)
{
    uint64_t all[words];
    int64_t needed = 0;
    for (int64_t g = 0; g < rows; g += GROUP) {
        if (g == SEEN*GROUP && (double)needed > most*SEEN) return 0;
        memcpy(all, bits + order[g]*words, (size_t)words*sizeof *all);
        for (int64_t q = g + 1; q < g + GROUP && q < rows; q++) {
            const int64_t end = rows - q < LIKE ? rows : q + LIKE;
            int64_t least = INT64_MAX, at = q;
            for (int64_t c = q; c < end && least > 0; c++) {
                const int64_t n = different(all, bits + order[c]*words, words);
                if (n < least) least = n, at = c;
            }
            const int32_t chosen = order[at];
            order[at] = order[q];
            order[q] = chosen;
            for (int64_t w = 0; w < words; w++) all[w] |= bits[chosen*words + w];
        }
        for (int64_t w = 0; w < words && g < SEEN*GROUP; w++) needed += __builtin_popcountll(all[w]);
    }
    return 1;
}

/* Numbers that a list of groups is told where to begin: one for each pass and group, and the end. */
int64_t snn_groups_begins(int64_t rows, int64_t terms, int64_t span)
{
    return (rows + GROUP - 1)/GROUP*((terms + span - 1)/span) + 1;
}

/* Words of bits of a matrix. */
int64_t snn_groups_words(int64_t rows, int64_t terms) { return rows*words_of(terms); }

/* Groups of the rows of `a` (rows, terms): `order` says which rows, `list` the terms of each group in passes of `span` (a multiple of 64),
 * counted from the first of the pass. `bits` has room for snn_groups_words, `room` for five numbers a row. Returns how many terms there
 * are; -1, and no lists, where the first groups need more than a part `most` of theirs. */
int64_t snn_groups_of_rows(const real *a, int64_t rows, int64_t terms, int64_t span, real most, uint64_t *bits, int32_t *room,
                           int32_t *order, int64_t *begin, uint16_t *list)
{
    const int64_t words = words_of(terms);
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t w = 0; w < words; w++) bits[r*words + w] = w*64 < terms ? active_bits(a + r*terms + w*64, terms - w*64) : 0;
    equals_together(bits, rows, words, order, room, room + rows);
    if (!like_together(bits, rows, words, order, (double)most*(double)terms)) return -1;
    for (int64_t first = 0; first*64 < terms; first += span/64)
        for (int64_t g = 0; g < rows; g += GROUP) {
            *begin++ = n;
            for (int64_t w = first; w < words && w < first + span/64; w++) {
                uint64_t all = 0;
                for (int64_t q = g; q < g + GROUP && q < rows; q++) all |= bits[order[q]*words + w];
                for (; all != 0; all &= all - 1) list[n++] = (uint16_t)((w - first)*64 + __builtin_ctzll(all));
            }
        }
    *begin = n;
    return n;
}

/* The part of terms that groups of neighbouring columns of `a` (terms, rows) need, in each `every`-th row of it. */
double snn_groups_look(const real *a, int64_t terms, int64_t rows, int64_t every)
{
    int64_t needed = 0, all = 0;
    for (int64_t k = 0; k < terms; k += every)
        for (int64_t at = 0; at < rows; at += 64) {
            needed += __builtin_popcountll(any_of_four(active_bits(a + k*rows + at, rows - at)));
            all += ((rows - at < 64 ? rows - at : 64) + GROUP - 1)/GROUP;
        }
    return all > 0 ? (double)needed/(double)all : 0;
}

/* The same of columns: groups of neighbours among the columns of `a` (terms, rows), as they come; `list` has room for one more. */
int64_t snn_groups_of_columns(const real *a, int64_t terms, int64_t rows, int64_t span, int64_t *begin, uint16_t *list)
{
    int64_t n = 0;
    for (int64_t first = 0; first < terms; first += span) {
        const int64_t count = terms - first < span ? terms - first : span;
        for (int64_t at = 0; at < rows; at += 64) { /* sixteen groups */
            const int64_t many = ((rows - at < 64 ? rows - at : 64) + GROUP - 1)/GROUP;
            uint64_t any[TERMS];
            for (int64_t k = 0; k < count; k++) any[k] = any_of_four(active_bits(a + (first + k)*rows + at, rows - at));
            for (int64_t g = 0; g < many; g++) {
                *begin++ = n;
                for (int64_t k = 0; k < count; k++) { /* without a branch: what is not needed is written over */
                    list[n] = (uint16_t)k;
                    n += any[k] >> GROUP*g & 1;
                }
            }
        }
    }
    *begin = n;
    return n;
}

/* No processor guesses which terms are left out. A narrow panel has too little to do for a term to look ahead. */
#if PANEL > 3
#define FETCH(N)                                                                                                                         \
    const int64_t ahead = list[n + AHEAD < count ? n + AHEAD : n];                                                                       \
    __builtin_prefetch(a0 + ahead*along);                                                                                                \
    _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) __builtin_prefetch(b + ahead*step + j*WIDTH);
#else
#define FETCH(N)
#endif

/* sums (GROUP, N vectors) = the listed terms of four rows times N vectors of b; terms of a row are `along` apart, rows of b `step`. */
#define TILE_OF_GROUP(N)                                                                                                                 \
    static void group_##N(const uint16_t *list, int64_t count, const real *const *a, int64_t along, const real *b, int64_t step,         \
                          vec (*sums)[PANEL])                                                                                            \
    {                                                                                                                                    \
        const real *const a0 = a[0], *const a1 = a[1], *const a2 = a[2], *const a3 = a[3];                                               \
        vec s[GROUP][N];                                                                                                                 \
        _Pragma("GCC unroll 4") for (int i = 0; i < GROUP; i++)                                                                          \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[i][j] = (vec){0};                                                      \
        for (int64_t n = 0; n < count; n++) {                                                                                            \
            const int64_t k = list[n];                                                                                                   \
            const real *const row = b + k*step;                                                                                          \
            FETCH(N)                                                                                                                     \
            const real u[GROUP] = {a0[k*along], a1[k*along], a2[k*along], a3[k*along]};                                                  \
            vec v[N];                                                                                                                    \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) v[j] = *(const vec_any *)(row + j*WIDTH);                                \
            _Pragma("GCC unroll 4") for (int i = 0; i < GROUP; i++)                                                                      \
                _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[i][j] += u[i]*v[j];                                                \
        }                                                                                                                                \
        _Pragma("GCC unroll 4") for (int i = 0; i < GROUP; i++)                                                                          \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) sums[i][j] = s[i][j];                                                    \
    }
TILE_OF_GROUP(1)
TILE_OF_GROUP(2)
#if PANEL > 2
TILE_OF_GROUP(3)
#endif
#if PANEL > 3
TILE_OF_GROUP(4)
TILE_OF_GROUP(5)
#endif

static void tile_of_group(int64_t vectors, const uint16_t *list, int64_t count, const real *const *a, int64_t along, const real *b,
                          int64_t step, vec (*sums)[PANEL])
{
    switch (vectors) {
    case 1: group_1(list, count, a, along, b, step, sums); break;
    case 2: group_2(list, count, a, along, b, step, sums); break;
#if PANEL > 2
    case 3: group_3(list, count, a, along, b, step, sums); break;
#endif
#if PANEL > 3
    case 4: group_4(list, count, a, along, b, step, sums); break;
    case 5: group_5(list, count, a, along, b, step, sums); break;
#endif
    }
}

/* Columns from `at` on of a row of sums: to `out`, times `factor`. */
static void leave_sums(const vec *sums, int64_t count, real *out, real factor, int64_t add)
{
    int64_t j = 0;
    for (; j + WIDTH <= count; j += WIDTH) {
        vec_any *const place = (vec_any *)(out + j);
        if (add) *place += factor*sums[j/WIDTH];
        else *place = factor*sums[j/WIDTH];
    }
    for (; j < count; j++) {
        const real made = factor*sums[j/WIDTH][j%WIDTH];
        out[j] = add ? out[j] + made : made;
    }
}

/* Columns of b that stand in registers together. */
typedef struct panel {
    const real *from;                  /* where they begin, in b or in a copy */
    int64_t step, vectors, at, count;  /* numbers to the next row, how wide they are, the first of them, how many there are */
} panel;

/* Panel `number` of `panels`, of rows start .. start + pass - 1 of b. Where there are fewer columns than vectors have, and where `copied`,
 * `room` has a copy; `inner` as for place_of, then always. */
static panel panel_of(const real *b, int64_t terms, int64_t inner, int64_t start, int64_t pass, int64_t columns, int64_t number,
                      int64_t panels, int64_t copied, real *room)
{
    const int64_t vectors = (columns + WIDTH - 1)/WIDTH, before = vectors*number/panels;
    panel p = {b + start*columns + before*WIDTH, columns, vectors*(number + 1)/panels - before, before*WIDTH, 0};
    const int64_t wide = p.vectors*WIDTH;
    p.count = columns - p.at < wide ? columns - p.at : wide;
    if (p.count == wide && !copied) return p;
    for (int64_t k = 0; k < pass; k++) {
        memcpy(room + k*wide, b + place_of(start + k, terms, inner)*columns + p.at, (size_t)p.count*sizeof(real));
        for (int64_t j = p.count; j < wide; j++) room[k*wide + j] = 0;
    }
    p.from = room;
    p.step = wide;
    return p;
}

/* Bytes of a vector: what a term costs depends on it. */
int64_t snn_groups_vector(void) { return VECTOR; }

/* Panels that a group meets one after the other: as many as stay in the second-level cache. */
static int64_t panels_together(int64_t longest)
{
    const int64_t together = TERMS/(longest > 0 ? longest : 1);
    return together < 1 ? 1 : together > TOGETHER ? TOGETHER : together;
}

/* Numbers of working memory of snn_groups_product, whose longest pass has so many terms. */
int64_t snn_groups_room(int64_t longest) { return longest*panels_together(longest)*PANEL*WIDTH; }

/* out (rows, columns) (+)= factor a b for groups first .. last - 1. Row r of `a` begins at r*down and its terms are `along` apart; `order`
 * says which rows the groups have, NULL: as they come; b is (terms, columns), of which `span` make a pass. Rows of `out` and of b are where
 * place_of says with `inner_rows` and `inner_terms`. A product of one pass can be used at once: then `move` is given, and `out` is not. */
void snn_groups_product(const real *a, int64_t down, int64_t along, int64_t rows, int64_t terms, int64_t span, const int32_t *order,
                        const int64_t *begin, const uint16_t *list, const real *b, int64_t columns, real *out, int64_t inner_rows,
                        int64_t inner_terms, int64_t first, int64_t last, real factor, int64_t add, const snn_optimizer *move, real *room)
{
    const int64_t groups = (rows + GROUP - 1)/GROUP, panels = ((columns + WIDTH - 1)/WIDTH + PANEL - 1)/PANEL;
    /* rows that lie a power of two apart meet in few lines of a cache */
    const int64_t copied = columns*(int64_t)sizeof(real)%1024 == 0 || inner_terms > 1;
    const int64_t together = panels_together(terms < span ? terms : span);
    for (int64_t start = 0; start < terms; start += span, begin += groups, add = 1) {
        const int64_t pass = terms - start < span ? terms - start : span;
        for (int64_t p = 0; p < panels; p += together) {
            const int64_t many = panels - p < together ? panels - p : together;
            panel side[TOGETHER];
            for (int64_t i = 0; i < many; i++)
                side[i] = panel_of(b, terms, inner_terms, start, pass, columns, p + i, panels, copied, room + i*pass*PANEL*WIDTH);
            for (int64_t g = first; g < last; g++) {
                const int64_t whole = rows - g*GROUP < GROUP ? rows - g*GROUP : GROUP;
                int64_t place[GROUP];
                const real *terms_of[GROUP];
                real made[GROUP][TOGETHER*PANEL*WIDTH]; /* where it is used at once */
                for (int64_t i = 0; i < GROUP; i++) {
                    const int64_t n = g*GROUP + i < rows ? g*GROUP + i : rows - 1; /* fewer than four: the last one again */
                    const int64_t row = order != NULL ? order[n] : n;
                    place[i] = place_of(row, rows, inner_rows);
                    terms_of[i] = a + row*down + start*along;
                }
                for (int64_t i = 0; i < many; i++) {
                    const panel *const s = side + i;
                    vec sums[GROUP][PANEL];
                    for (int64_t r = 0; r < whole && move != NULL; r++) fetch_moved(move, place[r]*columns + s->at, s->count);
                    tile_of_group(s->vectors, list + begin[g], begin[g + 1] - begin[g], terms_of, along, s->from, s->step, sums);
                    for (int64_t r = 0; r < whole; r++) {
                        if (move == NULL) leave_sums(sums[r], s->count, out + place[r]*columns + s->at, factor, add);
                        else leave_sums(sums[r], s->count, made[r] + s->at - side[0].at, factor, 0);
                    }
                }
                const int64_t wide = side[many - 1].at + side[many - 1].count - side[0].at;
                for (int64_t r = 0; r < whole && move != NULL; r++) move_on(move, place[r]*columns + side[0].at, wide, made[r]);
            }
        }
    }
}
