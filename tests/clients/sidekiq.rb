# Sidekiq against a running Troupe: `ruby sidekiq.rb PORT`. Ends non-zero at the first surprise.
#
# A worker is started beside it, that loads this file for the jobs. A script takes what is due out of the sets of jobs
# that are scheduled or tried again.

require "sidekiq"
require "sidekiq/api"

JOBS = 200
SOON = 20

url = "redis://127.0.0.1:#{ENV["SIDEKIQ_PORT"] || ARGV[0]}/0"
Sidekiq.configure_client { |config| config.redis = { url: url } }
Sidekiq.configure_server do |config|
  config.redis = { url: url }
  config.options[:poll_interval_average] = 0.05
end
Sidekiq.logger.level = Logger::FATAL
# It is older than its client.
Redis.silence_deprecations = true

class Add
  include Sidekiq::Worker

  def perform(left, right)
    Sidekiq.redis { |redis| redis.rpush("sums", left + right) }
  end
end

class Late
  include Sidekiq::Worker
  sidekiq_options queue: "low"

  def perform(due)
    Sidekiq.redis { |redis| redis.rpush("late", Time.now.to_f - due) }
  end
end

class Stubborn
  include Sidekiq::Worker
  sidekiq_options retry: 5

  def perform(fails)
    tries = Sidekiq.redis { |redis| redis.hincrby("tries", jid, 1) }
    raise "on purpose" if tries <= fails
  end
end

class Hopeless
  include Sidekiq::Worker
  sidekiq_options retry: 0
  sidekiq_retries_exhausted { |job, _| Sidekiq.redis { |redis| redis.rpush("exhausted", job["jid"]) } }

  def perform
    raise "on purpose"
  end
end

class Endless
  include Sidekiq::Worker

  def perform
    Sidekiq.redis { |redis| redis.set("begun", jid) }
    sleep
  end
end

def wait_for(what)
  limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + SOON
  until yield
    abort "waited in vain: #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > limit
    sleep 0.01
  end
end

def same(expected, got)
  abort "#{got.inspect} is not #{expected.inspect}, at #{caller(1..1).first}" unless expected == got
end

# Each job is run once.
def jobs(redis)
  same(JOBS, Add.perform_bulk((0...JOBS).map { |number| [number, number] }).size)
  JOBS.times { |number| Add.perform_async(number, 1) }
  wait_for("all have run") { redis.llen("sums") == 2 * JOBS }
  expected = (0...JOBS).flat_map { |number| [2 * number, number + 1] }
  same(expected.sort, redis.lrange("sums", 0, -1).map(&:to_i).sort)
  same(0, Sidekiq::Queue.new.size)
end

def scheduled(redis)
  set = Sidekiq::ScheduledSet.new
  never = Late.perform_in(1000, 0)
  due = Time.now.to_f + 0.5
  [due, due + 0.3].each { |time| Late.perform_at(time, time) }
  wait_for("those that are due have run") { redis.llen("late") == 2 }
  late = redis.lrange("late", 0, -1).map(&:to_f)
  same([], late.select(&:negative?))
  same([never], set.map(&:jid))
  set.find_job(never).delete
  same(0, set.size)
  20.times { Late.perform_in(0.1, due) }
  wait_for("all have run") { redis.llen("late") == 22 && set.size.zero? }
end

def retries(redis)
  set = Sidekiq::RetrySet.new
  jid = Stubborn.perform_async(2)
  2.times do |count|
    wait_for("it is to be tried again") { redis.hget("tries", jid) == (count + 1).to_s && set.size == 1 }
    entry = set.find_job(jid)
    same([count, "on purpose"], entry.item.values_at("retry_count", "error_message"))
    entry.reschedule(Time.now.to_f)
  end
  wait_for("it has come through") { redis.hget("tries", jid) == "3" && set.size.zero? }
  dead = Sidekiq::DeadSet.new
  jid = Hopeless.perform_async
  wait_for("it is dead") { dead.find_job(jid) }
  same([jid], redis.lrange("exhausted", 0, -1))
  dead.find_job(jid).retry
  wait_for("it is dead again") { redis.llen("exhausted") == 2 && dead.find_job(jid) }
  same(1, dead.clear)
end

# A worker that ends gives back what it could not finish.
def ends(redis, worker)
  jid = Endless.perform_async
  wait_for("it is begun") { redis.get("begun") == jid }
  wait_for("the worker is known") { Sidekiq::ProcessSet.new.size == 1 }
  Process.kill("TERM", worker)
  _, status = Process.wait2(worker)
  same(0, status.exitstatus)
  same([jid], Sidekiq::Queue.new.map(&:jid))
  same(0, Sidekiq::ProcessSet.new.size)
  stats = Sidekiq::Stats.new
  same([2 * JOBS + 22 + 3 + 2 + 1, 5], [stats.processed, stats.failed])
end

def main
  Sidekiq.redis(&:flushall)
  # When it ends, its threads wait for jobs two seconds more, and each is to give back what it gets.
  command = ["sidekiq", "-r", File.expand_path(__FILE__), "-c", "5", "-q", "default", "-q", "low", "-t", "3"]
  worker = Process.spawn({ "SIDEKIQ_PORT" => ARGV[0] }, *command, out: File::NULL)
  at_exit do
    Process.kill("KILL", worker)
    Process.wait(worker)
  rescue Errno::ESRCH, Errno::ECHILD
    # It has ended.
  end
  Sidekiq.redis do |redis|
    jobs(redis)
    scheduled(redis)
    retries(redis)
    ends(redis, worker)
  end
  puts "Sidekiq: ok"
end

main unless Sidekiq.server?
