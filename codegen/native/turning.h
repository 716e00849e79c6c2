/* Matrices turned over, in squares of sixteen that stay in registers or in the cache: from channels first to channels last and back. */

/* Sixteen numbers of single precision. The header of the processor's instructions takes a compiler longer than all that is here, so what they
 * do is said by shuffles, and where they have no other name the compiler is asked whether it knows them. */
#if defined(__AVX512F__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_ia32_loadups512_mask) && __has_builtin(__builtin_ia32_storeups512_mask)
#define SIXTEEN 1
#endif
#endif

#if defined(SIXTEEN)
typedef float sixteen __attribute__((vector_size(64)));
typedef float sixteen_any __attribute__((vector_size(64), aligned(4), may_alias));

/* A bit for each of `count` numbers, of which sixteen are looked at. */
SNN_INLINE unsigned short first_bits(int64_t count) { return (unsigned short)(count >= 16 ? 0xffff : (1 << count) - 1); }

/* Numbers of a row, where a bit is set; the others are 0 and nobody looks where they would be. */
SNN_INLINE sixteen some_of(const float *x, unsigned short bits) { return __builtin_ia32_loadups512_mask((const void *)x, (sixteen){0}, bits); }

#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define UPPER(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOWER_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define UPPER_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define EVEN_QUARTERS(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

/* Up to 16 x 16 numbers in single precision: four rounds that each double how far a number has come. */
static void __attribute__((noinline)) turn_square(int64_t rows, int64_t columns, const float *in, int64_t in_step, float *out, int64_t out_step, int add)
{
    sixteen a[16], b[16];
    const unsigned short across = first_bits(columns), down = first_bits(rows);
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) a[i] = some_of(in + i*in_step, i < rows ? across : 0);
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i += 2) {
        b[i] = LOWER(a[i], a[i + 1]);
        b[i + 1] = UPPER(a[i], a[i + 1]);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i += 4) {
        _Pragma("GCC unroll 16") for (int j = 0; j < 2; j++) {
            a[i + 2*j] = LOWER_PAIRS(b[i + j], b[i + j + 2]);
            a[i + 2*j + 1] = UPPER_PAIRS(b[i + j], b[i + j + 2]);
        }
    }
    _Pragma("GCC unroll 16") for (int j = 0; j < 4; j++) { /* quarters of a[4*i + j] are rows 4*i .. 4*i + 3 of columns j, j + 4, j + 8, j + 12 */
        const sixteen x = EVEN_QUARTERS(a[j], a[j + 4]), y = ODD_QUARTERS(a[j], a[j + 4]);
        const sixteen z = EVEN_QUARTERS(a[j + 8], a[j + 12]), w = ODD_QUARTERS(a[j + 8], a[j + 12]);
        b[j] = EVEN_QUARTERS(x, z);
        b[j + 4] = EVEN_QUARTERS(y, w);
        b[j + 8] = ODD_QUARTERS(x, z);
        b[j + 12] = ODD_QUARTERS(y, w);
    }
    for (int j = 0; j < columns; j++) {
        float *const to = out + j*out_step;
        __builtin_ia32_storeups512_mask((void *)to, add ? b[j] + some_of(to, down) : b[j], down);
    }
}
#endif

/* (rows, columns) to (columns, rows), or added to what is there. */
static void __attribute__((noinline)) turn_over(int64_t rows, int64_t columns, const real *in, int64_t in_step, real *out, int64_t out_step, int add)
{
    for (int64_t c = 0; c < columns; c += 16)
        for (int64_t r = 0; r < rows; r += 16) {
            const int64_t rn = rows - r < 16 ? rows - r : 16, cn = columns - c < 16 ? columns - c : 16;
            const real *const from = in + r*in_step + c;
            real *const to = out + c*out_step + r;
#if defined(SIXTEEN)
            if (sizeof(real) == sizeof(float)) {
                turn_square(rn, cn, (const float *)from, in_step, (float *)to, out_step, add);
                continue;
            }
#endif
            for (int64_t j = 0; j < cn; j++) {
                if (add) for (int64_t i = 0; i < rn; i++) to[j*out_step + i] += from[i*in_step + j];
                else for (int64_t i = 0; i < rn; i++) to[j*out_step + i] = from[i*in_step + j];
            }
        }
}

static void __attribute__((unused)) turn(int64_t rows, int64_t columns, const real *in, int64_t in_step, real *out, int64_t out_step)
{
    turn_over(rows, columns, in, in_step, out, out_step, 0);
}
