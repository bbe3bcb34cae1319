// P-256 by the generator, without a table of its multiples.
//
// Where ring has assembly for P-256 (x86_64, aarch64) it also has 37 * 64 multiples of the generator: 148 KB that no
// compression makes smaller, a sixteenth of the compressed program. The multiplication of any other point, which ring
// has as well and which takes the same time for every scalar, does it too, and takes longer: that is a signature
// of a TLS handshake with a P-256 certificate, not traffic.
//
// ci/build compiles this for targets that say `p256_table = "no"`; the linker takes `__wrap_NAME` wherever ring calls NAME
// (`--wrap` of ld.lld). Functions as in crypto/fipsmodule/ec/p256_shared.h and p256-nistz.c of ring 0.17.14; PREFIX is
// that which ring gives its C names.
#include <stdint.h>

#define JOIN(a, b) a##b
#define JOINED(a, b) JOIN(a, b)
#define RING(name) JOINED(PREFIX, name)
#define WRAP(name) JOINED(__wrap_, RING(name))

enum { LIMBS = 4 };

// The generator (SEC 2, 2.4.2) times 2^256 modulo p, which is how ring holds numbers: Montgomery's form, low limb first.
static const uint64_t X[LIMBS] = {0x79e730d418a9143c, 0x75ba95fc5fedb601, 0x79fb732b77622510, 0x18905f76a53755c6};
static const uint64_t Y[LIMBS] = {0xddf25357ce95560a, 0x8b4ab8e4ba19e45c, 0xd2e88688dd21f325, 0x8571ff1825885d85};

void RING(p256_point_mul)(uint64_t r[3][LIMBS], const uint64_t scalar[LIMBS], const uint64_t x[LIMBS],
                          const uint64_t y[LIMBS]);

void WRAP(p256_point_mul_base)(uint64_t r[3][LIMBS], const uint64_t scalar[LIMBS])
{
    RING(p256_point_mul)(r, scalar, X, Y);
}

void WRAP(p256_point_mul_base_vartime)(uint64_t r[3][LIMBS], const uint64_t scalar[LIMBS])
{
    RING(p256_point_mul)(r, scalar, X, Y);
}
