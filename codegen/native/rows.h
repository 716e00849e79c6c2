/* Dense connections whose senders are mostly silent: rows of the weights are gathered and added up instead of multiplying by zeros.
 * Every sum is made in the order of its senders (forwards) or of the rows (gradients), so that no bit depends on threads. */

/* As list_rows of listing.h. */
int64_t snn_rows_list(const real *sent, int64_t rows, int64_t pre, int64_t *begin, int32_t *index, real *value)
{
    return list_rows(sent, rows, pre, begin, index, value);
}

/* The same by sender: rows of each, in their order, counted from the first of them. */
void snn_rows_turn(int64_t rows, int64_t pre, const int64_t *begin, const int32_t *index, const real *value, int64_t *by, int32_t *row,
                   real *of)
{
    memset(by, 0, (size_t)(pre + 1)*sizeof(int64_t));
    for (int64_t k = begin[0]; k < begin[rows]; k++) by[index[k] + 1]++;
    for (int64_t i = 0; i < pre; i++) by[i + 1] += by[i];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = begin[r]; k < begin[r + 1]; k++) {
            const int64_t at = by[index[k]]++;
            row[at] = (int32_t)r;
            of[at] = value[k];
        }
    for (int64_t i = pre; i > 0; i--) by[i] = by[i - 1];
    by[0] = 0;
}

/* From `count` numbers of rows at .. at + many - 1 of `rows`, counted from the first of them, to their places. */
void snn_rows_place(int64_t count, int32_t *row, int64_t at, int64_t many, int64_t rows, int64_t inner)
{
    int32_t place[many];
    for (int64_t r = 0; r < many; r++) place[r] = (int32_t)place_of(at + r, rows, inner);
    for (int64_t n = 0; n < count; n++) row[n] = place[row[n]];
}

#define SOON 2 /* rows before its turn that what an optimizer remembers of a row is fetched */

#define GATHER(N)                                                                                                                        \
    static void gather_##N(const int32_t *index, const real *value, int64_t count, const real *from, int64_t step, real factor,          \
                               real *to, int64_t add, const snn_optimizer *move, int64_t at)                                             \
    {                                                                                                                                    \
        vec s[N];                                                                                                                        \
        _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[j] = (vec){0};                                                             \
        for (int64_t k = 0; k < count; k++) {                                                                                            \
            const real *const row = from + index[k]*step;                                                                                \
            const real u = value[k];                                                                                                     \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[j] += u**(const vec_any *)(row + j*WIDTH);                             \
        }                                                                                                                                \
        if (move != NULL) {                                                                                                              \
            vec made[N];                                                                                                                 \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) made[j] = factor*s[j];                                                   \
            move_on(move, at, N*WIDTH, (const real *)made);                                                                              \
            return;                                                                                                                      \
        }                                                                                                                                \
        _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) {                                                                            \
            vec_any *const place = (vec_any *)(to + j*WIDTH);                                                                            \
            if (add) *place += factor*s[j];                                                                                              \
            else *place = factor*s[j];                                                                                                   \
        }                                                                                                                                \
    }
GATHER(1)
GATHER(2)
GATHER(8)

/* to[the place of i] (i = first .. last - 1 of rows, width numbers): factor times the sum of value[k] from[index[k]] over the list of i. With
 * `move` it is used at once and `to` is not. */
void snn_rows_gather(const int64_t *begin, const int32_t *index, const real *value, const real *from, int64_t width, real *to, int64_t rows,
                     int64_t inner, int64_t first, int64_t last, real factor, int64_t add, const snn_optimizer *move)
{
    /* columns outside, so that the part of `from` that is gathered stays in the cache */
    for (int64_t c = 0; c < width;) {
        const int64_t left = width - c;
        const int64_t part = left >= 8*WIDTH ? 8*WIDTH : left >= 2*WIDTH ? 2*WIDTH : left >= WIDTH ? WIDTH : 1;
        for (int64_t i = first; i < last; i++) {
            const int32_t *const list = index + begin[i];
            const real *const u = value + begin[i];
            const int64_t count = begin[i + 1] - begin[i];
            const int64_t at = place_of(i, rows, inner)*width + c;
            real *const place = move != NULL ? NULL : to + at;
            if (move != NULL && i + SOON < last) fetch_moved(move, place_of(i + SOON, rows, inner)*width + c, part);
            if (part == 8*WIDTH) gather_8(list, u, count, from + c, width, factor, place, add, move, at);
            else if (part == 2*WIDTH) gather_2(list, u, count, from + c, width, factor, place, add, move, at);
            else if (part == WIDTH) gather_1(list, u, count, from + c, width, factor, place, add, move, at);
            else {
                real s = 0;
                for (int64_t k = 0; k < count; k++) s += u[k]*from[list[k]*width + c];
                if (move != NULL) {
                    const real made = factor*s;
                    move_on(move, at, 1, &made);
                } else
                    *place = add ? *place + factor*s : factor*s;
            }
        }
        c += part;
    }
}
