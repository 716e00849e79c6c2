/* Products of a few rows with a matrix that is used again and again: it is packed once, in panels of two vectors, and a tile of rows goes
 * through a panel with its sums in registers (Goto & van de Geijn 2008). Every sum is made in the order of the terms, whatever tile it
 * falls into: no bit depends on how rows are shared out among threads. */

#if defined(__AVX512F__) || defined(__aarch64__)
#define TALL 8
#else
#define TALL 6 /* sixteen registers: twelve sums, two vectors, one number */
#endif
#define WIDE (2*WIDTH)

/* out += a b: rows of `a` are `down` apart, b is a panel of N vectors. */
#define TILE(NAME, R, N)                                                                                                                 \
    static void tile_##NAME##_##N(int64_t terms, const real *restrict a, int64_t down, const real *restrict b, real *restrict out,       \
                                  int64_t step)                                                                                          \
    {                                                                                                                                    \
        vec s[R][N];                                                                                                                     \
        _Pragma("GCC unroll 8") for (int i = 0; i < R; i++)                                                                              \
            _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) s[i][j] = (vec){0};                                                      \
        for (int64_t k = 0; k < terms; k++) {                                                                                            \
            vec v[N];                                                                                                                    \
            _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) v[j] = ((const vec_any *)b)[j];                                          \
            b += N*WIDTH;                                                                                                                \
            _Pragma("GCC unroll 8") for (int i = 0; i < R; i++) {                                                                        \
                const real u = a[i*down + k];                                                                                            \
                _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) s[i][j] += u*v[j];                                                   \
            }                                                                                                                            \
        }                                                                                                                                \
        _Pragma("GCC unroll 8") for (int i = 0; i < R; i++)                                                                              \
            _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) ((vec_any *)(out + i*step))[j] += s[i][j];                               \
    }
TILE(tall, TALL, 1)
TILE(tall, TALL, 2)
TILE(two, 2, 1)
TILE(two, 2, 2)
TILE(one, 1, 1)
TILE(one, 1, 2)
#define CALL(NAME, N) tile_##NAME##_##N(terms, a, down, b, out, step)

static void tile(int64_t rows, int64_t vectors, int64_t terms, const real *a, int64_t down, const real *b, real *out, int64_t step)
{
    if (vectors == 2) {
        if (rows == TALL) CALL(tall, 2);
        else if (rows == 2) CALL(two, 2);
        else CALL(one, 2);
    } else {
        if (rows == TALL) CALL(tall, 1);
        else if (rows == 2) CALL(two, 1);
        else CALL(one, 1);
    }
}

/* Columns of the panel that begins at column `at`, as vectors. */
SNN_INLINE int64_t panel_vectors(int64_t columns, int64_t at) { return columns - at > WIDTH ? 2 : 1; }

/* Numbers of a packed matrix. */
int64_t snn_packed(int64_t terms, int64_t columns) { return terms*((columns + WIDTH - 1)/WIDTH)*WIDTH; }

/* A matrix, of which element (k, j) lies at k*down + j*along, as panels one after the other; columns that are not there are 0. */
void snn_pack_matrix(const real *b, int64_t down, int64_t along, int64_t terms, int64_t columns, real *packed)
{
    for (int64_t at = 0; at < columns; at += WIDE) {
        const int64_t wide = panel_vectors(columns, at)*WIDTH, count = columns - at < wide ? columns - at : wide;
        if (count < wide) memset(packed, 0, (size_t)(terms*wide)*sizeof(real));
        for (int64_t k = 0; k < terms; k += 16) {
            const int64_t n = terms - k < 16 ? terms - k : 16;
            const real *const from = b + k*down + at*along;
            real *const to = packed + k*wide;
            if (along == 1)
                for (int64_t i = 0; i < n; i++) memcpy(to + i*wide, from + i*down, (size_t)count*sizeof(real));
            else
                for (int64_t j = 0; j < count; j++)
                    for (int64_t i = 0; i < n; i++) to[i*wide + j] = from[i*down + j*along];
        }
        packed += terms*wide;
    }
}

/* out (rows, columns) += a (rows, terms) times a packed matrix. */
static void add_product(int64_t rows, int64_t terms, int64_t columns, const real *a, const real *packed, real *out)
{
    real edge[TALL*WIDE];
    for (int64_t at = 0; at < columns; at += WIDE) {
        const int64_t vectors = panel_vectors(columns, at), wide = vectors*WIDTH, count = columns - at < wide ? columns - at : wide;
        for (int64_t i = 0; i < rows;) {
            const int64_t n = rows - i >= TALL ? TALL : rows - i >= 2 ? 2 : 1;
            real *const place = out + i*columns + at;
            if (count == wide) tile(n, vectors, terms, a + i*terms, terms, packed, place, columns);
            else { /* what stands right of the matrix belongs to the next row */
                memset(edge, 0, sizeof edge);
                tile(n, vectors, terms, a + i*terms, terms, packed, edge, WIDE);
                for (int64_t r = 0; r < n; r++)
                    for (int64_t j = 0; j < count; j++) place[r*columns + j] += edge[r*WIDE + j];
            }
            i += n;
        }
        packed += terms*wide;
    }
}
