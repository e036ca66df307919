"""Several objects in one photo: each has its own motion, all have the same camera."""

from dataclasses import replace

from flowsim.errors import FlowsimError
from flowsim.prior import MotionPrior
from flowsim.sampling import MotionSample, sample_motion

LARGEST_NUMBER = 254


def sample_motions(prior: MotionPrior, seed: int, sample_id: str, index: int, objects: int) -> tuple[MotionSample, ...]:
    """Draw the motions of all objects of a photo.

    The first motion is the one that `sample_motion` draws, so that a photo with one object has the same motion here as
    there. For every further object a motion of the same type of shot is drawn, and its camera replaced by the first.

    Args:
        prior: distributions to draw from.
        seed: the run's seed, 0 .. 2**64 - 1.
        sample_id: the photo's stable name.
        index: number of the motion among those of the photo.
        objects: number of objects, 0 .. 254; for a photo without objects one motion is drawn, that of the camera.

    Returns:
        The unresolved motions of objects 1, 2, ...

    Raises:
        FlowsimError: a number is out of range.
    """
    if not 0 <= objects <= LARGEST_NUMBER:
        raise FlowsimError(f"objects is {objects}, expected a number from 0 to {LARGEST_NUMBER}")
    first = sample_motion(prior, seed, sample_id, index)
    motions = [first]
    for number in range(2, objects + 1):
        drawn = sample_motion(prior, seed, sample_id, index, object_number=number, shot=first.shot)
        motions.append(
            replace(
                first,
                object_rotation=drawn.object_rotation,
                object_translation=drawn.object_translation,
                object_deformation=drawn.object_deformation,
                wave_seed=drawn.wave_seed,
            )
        )
    return tuple(motions)
