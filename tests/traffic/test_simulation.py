"""The simulated highway against highway-env: accelerations, decisions and whole trajectories of the same vehicles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from highway_env.road.road import Road, RoadNetwork
from highway_env.vehicle.behavior import IDMVehicle

from lab.traffic import simulation

AGENTS, STEPS = 20, 160
SEEDS = (1, 100)


def theirs(road, drivers) -> Any:
    """The same vehicles in highway-env."""
    network = RoadNetwork.straight_road_network(4, length=10_000, speed_limit=30)
    made = Road(network, [], np_random=np.random.RandomState(0))
    for i in range(len(road.speed)):
        vehicle = IDMVehicle(
            made,
            np.asarray(road.position[i]),
            heading=float(road.heading[i]),
            speed=float(road.speed[i]),
            target_lane_index=("0", "1", int(road.target[i])),
            target_speed=float(drivers.speed[i]),
            timer=float(road.timer[i]),
        )
        vehicle.TIME_WANTED = float(drivers.headway[i])
        vehicle.POLITENESS = float(drivers.politeness[i])
        vehicle.LANE_CHANGE_MIN_ACC_GAIN = float(drivers.gain[i])
        made.vehicles.append(vehicle)
    return made


@pytest.fixture(scope="module")
def drawn():
    return [simulation.draw(seed, AGENTS) for seed in SEEDS]


@pytest.fixture(scope="module")
def simulated(drawn):
    roads, drivers = (jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *[d[i] for d in drawn]) for i in (0, 1))
    return jax.tree.map(np.asarray, simulation.simulate(roads, drivers, STEPS, 1))


@pytest.mark.slow
def test_trajectories_are_those_of_highway_env(drawn, simulated):
    changes = 0
    for number, each in enumerate(drawn):
        made = theirs(each.road, each.drivers)
        for step in range(STEPS):
            there = np.array([vehicle.position for vehicle in made.vehicles])
            np.testing.assert_allclose(simulated.position[number, step], there, atol=1e-9)
            speeds = [vehicle.speed for vehicle in made.vehicles]
            np.testing.assert_allclose(simulated.speed[number, step], speeds, atol=1e-9)
            made.act()
            targets = [vehicle.target_lane_index[2] for vehicle in made.vehicles]
            if step + 1 < STEPS:
                np.testing.assert_array_equal(simulated.target[number, step + 1], targets)
                changes += int((simulated.target[number, step + 1] != simulated.target[number, step]).sum())
            made.step(0.1)
        assert not any(vehicle.crashed for vehicle in made.vehicles)
    assert changes > 10
    assert simulation.closest(simulation.Road(*simulated)) > simulation.LENGTH


@pytest.mark.slow
def test_accelerations_and_decisions_are_those_of_highway_env(drawn, simulated):
    """In the midst of traffic, where some are between lanes."""
    wanted = 0
    for number, step in ((0, 2), (0, 37), (1, 2), (1, 8), (1, 61)):
        road = simulation.Road(*(jnp.asarray(each[number, step]) for each in simulated))
        drivers = jax.tree.map(jnp.asarray, drawn[number].drivers)
        made = theirs(road, drivers)
        would = np.asarray(simulation.mobil(road, drivers))
        for i, vehicle in enumerate(made.vehicles):
            for _, _, lane in made.network.side_lanes(vehicle.lane_index):
                assert would[i, lane] == vehicle.mobil(("0", "1", lane)), (step, i, lane)
                wanted += int(would[i, lane])
        for vehicle in made.vehicles:
            vehicle.enable_lane_change = False  # acts on the targets that there are
            vehicle.act()
        told = [vehicle.action["acceleration"] for vehicle in made.vehicles]
        np.testing.assert_allclose(simulation.accelerations(road, drivers), told, rtol=1e-12, atol=1e-12)
    assert wanted > 3


def test_the_intelligent_driver_model_is_its_formula():
    free = simulation.idm(20.0, 25.0, 1.5, jnp.inf, 0.0)
    assert float(free) == pytest.approx(3 * (1 - (20 / 25) ** 4), rel=1e-12)
    wished = 10 + 1.5 * 20 + 20 * 3 / (2 * np.sqrt(15))
    near = simulation.idm(20.0, 25.0, 1.5, 30.0, 3.0)
    assert float(near) == pytest.approx(3 * (1 - (20 / 25) ** 4) - 3 * (wished / 30) ** 2, rel=1e-12)


@pytest.mark.slow
def test_a_seed_is_a_road(simulated, drawn):
    found, profile = simulation.roads(SEEDS, AGENTS, STEPS // 5)
    np.testing.assert_array_equal(found.position, simulated.position[:, ::5])
    again, _ = simulation.roads(SEEDS, AGENTS, STEPS // 5)
    np.testing.assert_array_equal(again.position, found.position)
    assert (found.position[0] != found.position[1]).any()
    np.testing.assert_array_equal(profile, [each.profile for each in drawn])
    later, _ = simulation.roads(SEEDS, AGENTS, STEPS // 5 - 10, warmup=10)
    np.testing.assert_array_equal(later.position, found.position[:, 10:])


def test_drivers_are_of_the_kinds_that_were_asked_for():
    kinds = simulation.draw(0, 2000, slow=0.1, fast=0.6)
    share = [(kinds.profile == k).mean() for k in (-1, 0, 1)]
    np.testing.assert_allclose(share, [0.1, 0.3, 0.6], atol=0.03)
    for k in (-1, 0, 1):
        which = kinds.profile == k
        assert [float(each[which][0]) for each in kinds.drivers] == list(simulation.PROFILES[k])
    with pytest.raises(ValueError, match=r"slow = 0.7 and fast = 0.6 are no shares"):
        simulation.draw(0, 5, slow=0.7, fast=0.6)
    with pytest.raises(ValueError, match="agents = 0"):
        simulation.draw(0, 0)
