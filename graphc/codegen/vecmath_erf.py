"""Error functions of generated kernels: erf and erfc; branch-free. Polynomials are our own minimax fits."""

import numpy as np

from graphc.codegen.vecmath_double import _product_f64, _upper_f32
from graphc.codegen.vecmath_exp import _exp_parts_f32, _exp_parts_f64, _ldexp_f32, _ldexp_f64, exp_f32, exp_f64
from graphc.codegen.vecmath_row import Function

# float32


def erf_f32(x: np.float32) -> np.float32:
    # below 0.9: x + x P(x^2); above: 1 - exp(Q(|x|)), Q a fit of log(erfc)
    z = x * x
    p = np.float32(5.20386035e-3) + z * (np.float32(-8.17564433e-4) + z * np.float32(8.5130996e-5))
    p = np.float32(0.112837151) + z * (np.float32(-0.0268605091) + z * p)
    p = np.float32(0.12837923) + z * (np.float32(-0.376126349) + z * p)
    size = abs(x)
    a = np.float32(4.0) if size > np.float32(4.0) else size
    q = np.float32(-3.81686771e-3) + a * (np.float32(3.72101698e-4) + a * np.float32(-1.65587207e-5))
    q = np.float32(-0.635246038) + a * (np.float32(-0.106397077) + a * (np.float32(0.0240438823) + a * q))
    y = np.float32(1.0) - exp_f32(np.float32(-5.18593442e-5) + a * (np.float32(-1.12849307) + a * q))
    return x + x * p if size < np.float32(0.9) else np.copysign(y, x)


def erfc_f32(x: np.float32) -> np.float32:
    # for x >= 0: exp(-x^2) (1 + x q P(t)) / (1 + 2 x), q = 1 / (x + 2.5), t = (x - 2.5) q (Shepherd, Laframboise)
    size = abs(x)
    a = np.float32(10.5) if size > np.float32(10.5) else size
    upper = _upper_f32(a)
    square = a * a
    lost = (upper * upper - square) + (a - upper) * (a + upper)
    k, high, low = _exp_parts_f32(-square, -lost)
    q = np.float32(1.0) / (a + np.float32(2.5))
    t = (a - np.float32(2.5)) * q
    p = np.float32(0.00116585811) + t * (np.float32(1.69720974e-05) + t * np.float32(-0.000120123519))
    p = np.float32(0.010374624) + t * (np.float32(-0.00848470861) + t * (np.float32(-0.000251899812) + t * p))
    p = np.float32(0.576341077) + t * (np.float32(-0.261080833) + t * (np.float32(0.0551424821) + t * p))
    p = np.float32(0.529676366) + t * (np.float32(-0.774389906) + t * p)
    y = (np.float32(1.0) + a * q * p) / (np.float32(1.0) + (a + a))
    y = _ldexp_f32(y + y * (high + low), k)
    return np.float32(2.0) - y if x < np.float32(0.0) else y


# float64


def erf_f64(x: float) -> float:
    # below 1: x + x P(x^2); above: 1 - exp(-x^2) Q(t), t = (|x| - 3) / (|x| + 3)
    z = x * x
    p = 1.465708681254041e-08 + z * (-1.1362520073658693e-09 + z * 5.939812291320715e-11)
    p = -1.4925592876058689e-05 + z * (1.6460962340820255e-06 + z * (-1.6349910626363722e-07 + z * p))
    p = 0.005223977624769873 + z * (-0.0008548326978078889 + z * (0.00012055331011640255 + z * p))
    p = -0.3761263890318375 + z * (0.11283791670954853 + z * (-0.026866170645071824 + z * p))
    p = 0.12837916709551256 + z * p
    size = abs(x)
    a = 6.0 if size > 6.0 else size
    t = (a - 3.0) / (a + 3.0)
    q = -8.008815837631508e-06 + t * (2.001738885036939e-06 + t * 1.261695807045811e-06)
    q = 4.525379905441005e-05 + t * (6.406349084713191e-05 + t * (-1.2841586894431e-05 + t * q))
    q = 0.004269136366525811 + t * (0.0007077465003839453 + t * (-0.0005970626320981521 + t * q))
    q = -0.15011593650076524 + t * (0.0716658371971865 + t * (-0.024392499319930913 + t * q))
    q = 0.17900115118138993 + t * (-0.3262335600430373 + t * (0.24560380171233795 + t * q))
    y = 1.0 - exp_f64(-(a * a)) * q
    return x + x * p if size < 1.0 else np.copysign(y, x)


def erfc_f64(x: float) -> float:
    # for x >= 0: exp(-x^2) (1 + x q P(t)) / (1 + 2 x), q = 1 / (x + 4), t = (x - 4) q (Shepherd, Laframboise)
    size = abs(x)
    a = 28.0 if size > 28.0 else size
    square, lost = _product_f64(a, a)
    k, high, low = _exp_parts_f64(-square, -lost)
    q = 1.0 / (a + 4.0)
    t = (a - 4.0) * q
    p = -2.9020374578191897e-08 + t * (1.1299239305169059e-09 + t * 2.434242362337261e-09)
    p = -7.774977442811047e-08 + t * (2.2607763913702323e-07 + t * (-6.310285828469002e-09 + t * p))
    p = 9.257956355484476e-06 + t * (2.1616117197972596e-06 + t * (-1.5730101790840085e-06 + t * p))
    p = 0.000318339498947666 + t * (-1.7095872644786413e-05 + t * (-3.1702661140658566e-05 + t * p))
    p = 0.010862633753815172 + t * (-0.0007986938083991413 + t * (-0.0007168528434769653 + t * p))
    p = -0.25025386455892523 + t * (0.11759313293329252 + t * (-0.04325810185693303 + t * p))
    p = 0.7759917751374684 + t * (-0.6397976666280804 + t * (0.43771953455553 + t * p))
    p = 0.465990237251105 + t * (-0.7452324709322301 + t * p)
    y = (1.0 + a * q * p) / (1.0 + (a + a))
    y = _ldexp_f64(y + y * (high + low), k)
    return 2.0 - y if x < 0.0 else y


ROWS = (
    Function(erf_f32, ulp=1.8, vectorises=True),
    Function(erfc_f32, ulp=3.8, vectorises=True),
    Function(erf_f64, ulp=1.4, vectorises=True),
    Function(erfc_f64, ulp=3.3, vectorises=True),
)
